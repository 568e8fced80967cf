"""Base class of the embedded servers, which can be restarted on the same port and data."""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.embedded import disk, ports
from service.embedded.child import Child, Command
from service.embedded.errors import EmbeddedError, PortTaken
from service.embedded.locks import wait_for_lock

_LOG_LIMIT_BYTES = 10 * 1024 * 1024
_PORT_TIMEOUT_S = 1.0
_FOLDER_TIMEOUT_S = 20.0


class Server(ABC):
    """An embedded server. `start`, `stop` and `kill` may be called in any order."""

    def __init__(self, name: str, data: Path, log: Path) -> None:
        self.name = name
        self.data = data
        self.log = log
        self._child: Child | None = None
        self._log_from = 0

    @property
    def pid(self) -> int:
        """Process id of the server; 0 before its first start."""
        return self._child.pid if self._child else 0

    @property
    def reaper_pid(self) -> int:
        return self._child.reaper_pid if self._child else 0

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @abstractmethod
    def listens_on(self) -> tuple[int, ...]:
        """Returns all ports of the server, the port for clients first."""

    @abstractmethod
    async def command(self, lock: int) -> Command:
        """Prepares the data folder and returns the command, which inherits the lock."""

    @abstractmethod
    async def answers(self) -> bool:
        """Returns whether the server accepts clients."""

    def _build_command(
        self, argv: Sequence[str], lock: int, variables: Mapping[str, str] = {}, **options: Any
    ) -> Command:
        """Returns a command that runs in the data folder and has no other variables."""
        return Command(
            argv=argv,
            environment={**server_environment(self.data), **variables},
            folder=self.data,
            log=self.log,
            lock=lock,
            **options,
        )

    async def start(self, timeout_s: float = 60) -> None:
        """Starts the server on its existing data. Returns when it is ready."""
        if self.alive:
            return
        self._make_folder()
        # Two servers on one folder would corrupt it. One of a killed run may still be ending.
        lock_fd = await wait_for_lock(self.data / "lock", _FOLDER_TIMEOUT_S)
        if lock_fd is None:
            raise EmbeddedError(
                f"{self.name} is already running on {self.data}: stop the other Aftertone first."
            )
        try:
            await self._check_ports()
            await self._start_child(await self.command(lock_fd), timeout_s)
        finally:
            os.close(lock_fd)

    async def _start_child(self, command: Command, timeout_s: float) -> None:
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        self._child = Child(self.name, command)
        try:
            await self._child.start()
            await self._wait_until_ready(timeout_s)
        except BaseException:
            await self._child.kill()
            raise

    async def stop(self) -> None:
        if self._child:
            await self._child.stop()

    async def kill(self) -> None:
        """Kills the server. Returns when all its processes have ended."""
        if self._child:
            await self._child.kill()

    async def wait(self) -> int:
        """Waits for the end of the server and returns its exit code."""
        return await self._child.wait() if self._child else 0

    def suspend(self) -> None:
        """Suspends all processes of the server: its ports stay open, but it does not answer."""
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
        # After a kill, the kernel may need a moment to close the sockets.
        deadline = time.monotonic() + (_PORT_TIMEOUT_S if self._child else 0)
        while used := [port for port in self.listens_on() if not ports.is_free(port)]:
            if time.monotonic() >= deadline:
                raise self._port_taken(used[0])
            await asyncio.sleep(0.02)

    def _port_taken(self, port: int) -> PortTaken:
        return PortTaken(f"{self.name} needs port {port}, which is in use by another program.")

    async def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                raise self.exit_error(await self.wait())
            if await self.answers():
                return
            await asyncio.sleep(0.01)
        raise EmbeddedError(f"{self.name} did not answer within {timeout_s:.0f} s: see {self.log}.")

    def read_log(self) -> str:
        """Returns the log of the current run, at most the last 64 KiB."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(self._log_from, self.log.stat().st_size - 65_536))
            return file.read().decode(errors="replace")

    def exit_error(self, code: int) -> EmbeddedError:
        text = self.read_log()
        if disk.DISK_FULL.search(text):
            return disk.disk_full_error(self.data)
        if "ddress already in use" in text:
            return self._port_taken(self.listens_on()[0])
        last = text.strip().splitlines()[-1:] or ["its log is empty"]
        return EmbeddedError(
            f"{self.name} ended with exit code {code}: {last[0]} (see {self.log})."
        )


async def wait_for_state(
    is_reached: Callable[[], Awaitable[bool]], timeout_s: float, failure: str
) -> None:
    """Waits until a group of servers reaches a state. Raises EmbeddedError with the text."""
    deadline = time.monotonic() + timeout_s
    while not await is_reached():
        if time.monotonic() >= deadline:
            raise EmbeddedError(failure)
        await asyncio.sleep(0.05)


async def exchange(port: int, request: bytes, host: str = ports.LOOPBACK) -> bytes:
    """Sends `request` to a local TCP server. Returns its first bytes, or none without an answer."""
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
    """Returns a minimal environment, so that no variable changes the behaviour of a server."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ
    }
    return {**inherited, "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}
