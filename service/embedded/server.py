"""What the three embedded servers share: a life that can end and begin again on the same port."""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path

from service.embedded import disk, ports
from service.embedded.child import Child, Command
from service.embedded.errors import EmbeddedError, PortTaken
from service.embedded.locks import lock

_LOG_LIMIT_BYTES = 10 * 1024 * 1024
_PORT_PATIENCE_S = 1.0
_FOLDER_PATIENCE_S = 20.0


class Server(ABC):
    """One server. `start`, `stop` and `kill` may follow each other in any order."""

    def __init__(self, name: str, data: Path, log: Path) -> None:
        self.name = name
        self.data = data
        self.log = log
        self._child: Child | None = None
        self._log_from = 0

    @property
    def pid(self) -> int:
        """The server's own process id; 0 before its first start."""
        return self._child.pid if self._child else 0

    @property
    def reaper_pid(self) -> int:
        return self._child.reaper_pid if self._child else 0

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @abstractmethod
    def listens_on(self) -> tuple[int, ...]:
        """Every port that it needs, the one for clients first."""

    @abstractmethod
    async def command(self, held: int) -> Command:
        """Makes ready what the process needs and says how to start it, holding that lock."""

    @abstractmethod
    async def answers(self) -> bool:
        """Whether a client would be served now."""

    async def start(self, timeout_s: float = 60) -> None:
        """Returns when the server answers, with the data of its last life."""
        if self.alive:
            return
        self._make_folder()
        # Two servers on one folder would ruin it, and a killed run's may be about to end.
        held = await lock(self.data / "lock", _FOLDER_PATIENCE_S)
        if held is None:
            raise EmbeddedError(f"{self.name} of another Aftertone still runs on {self.data}.")
        try:
            await self._check_ports()
            await self._live(await self.command(held), timeout_s)
        finally:
            os.close(held)

    async def _live(self, command: Command, timeout_s: float) -> None:
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        self._child = Child(self.name, command)
        try:
            await self._child.start()
            await self._until_it_answers(timeout_s)
        except BaseException:
            await self._child.kill()
            raise

    async def stop(self) -> None:
        if self._child:
            await self._child.stop()

    async def kill(self) -> None:
        """SIGKILL; returns when the server and every process of it are gone."""
        if self._child:
            await self._child.kill()

    async def wait(self) -> int:
        """The exit code, once the server ends for whatever reason."""
        return await self._child.wait() if self._child else 0

    def suspend(self) -> None:
        """Freezes the whole server: its ports stay open and nobody answers."""
        if self._child:
            self._child.suspend()

    def resume(self) -> None:
        if self._child:
            self._child.resume()

    def _make_folder(self) -> None:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES:
            os.truncate(self.log, 0)

    async def _check_ports(self) -> None:
        # The kernel may need a moment to close the sockets of this server's killed last life.
        give_up = time.monotonic() + (_PORT_PATIENCE_S if self._child else 0)
        while taken := [port for port in self.listens_on() if not ports.is_free(port)]:
            if time.monotonic() >= give_up:
                raise self._port_taken(taken[0])
            await asyncio.sleep(0.02)

    def _port_taken(self, port: int) -> PortTaken:
        return PortTaken(f"{self.name} needs port {port}, and another program listens on it.")

    async def _until_it_answers(self, timeout_s: float) -> None:
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            if not self.alive:
                raise self.why_it_ended(await self.wait())
            if await self.answers():
                return
            await asyncio.sleep(0.01)
        raise EmbeddedError(f"{self.name} did not answer within {timeout_s:.0f} s: see {self.log}.")

    def said(self) -> str:
        """What this life of the server wrote to its log, the last 64 KiB at most."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(self._log_from, self.log.stat().st_size - 65_536))
            return file.read().decode(errors="replace")

    def why_it_ended(self, code: int) -> EmbeddedError:
        said = self.said()
        if disk.FULL.search(said):
            return disk.disk_full(self.data)
        if "ddress already in use" in said:
            return self._port_taken(self.listens_on()[0])
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        return EmbeddedError(
            f"{self.name} ended with exit code {code}: {last[0]} (see {self.log})."
        )


async def ask(port: int, request: bytes, host: str = ports.LOOPBACK) -> bytes:
    """The first bytes that a local TCP server sends after `request`; empty when there are none."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.read(65_536)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


def server_environment(home: Path) -> dict[str, str]:
    """Little of ours: what a server would read from there is not meant for this one."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}
