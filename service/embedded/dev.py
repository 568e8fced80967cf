"""`aftertone dev`: the embedded servers and the service's own processes in one go."""

import asyncio
import contextlib
import errno
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from service.embedded import ports, reaper
from service.embedded.disk import usable
from service.embedded.errors import EmbeddedError, PortTaken
from service.embedded.locks import lock, try_lock
from service.embedded.server import Server, ask
from service.embedded.servers import EmbeddedServers
from service.embedded.supervisor import ChildProcess, Part, keep
from service.embedded.welcome import welcome, write_env

_LEFTOVERS_PATIENCE_S = 20.0
_READY_WITHIN_S = 60.0
# They say where the processes listen; `AFTERTONE_URL` and `AFTERTONE_ADMIN_URL` say it to clients.
_NOT_FOR_CLIENTS = ("AFTERTONE_HOST", "AFTERTONE_PORT", "AFTERTONE_ADMIN_PORT")
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What making the servers ready gave: more variables for the processes and for `dev.env`."""

    environment: dict[str, str]


Prepare = Callable[[Mapping[str, str]], Awaitable[Prepared]]


async def run_dev(
    *,
    folder: Path,
    host: str,
    port: int,
    prepare: Prepare,
    processes: Mapping[str, Sequence[str]],
) -> None:
    """Runs until SIGINT or SIGTERM; a second signal kills everything at once.

    `prepare` gets the environment of the processes once the servers answer. The first of
    `processes` is the one that answers HTTP on the port (0: any free one); it is stopped first.
    EmbeddedError says in one sentence why it cannot run or could not go on.
    """
    dev = _Dev(folder, host, port, prepare, processes)
    run = asyncio.create_task(dev.run())

    def stop() -> None:
        if dev.stopping:
            dev.kill()
        else:
            run.cancel()

    with _signals(stop):
        await asyncio.wait({run})
    if not run.cancelled():
        await run


@contextlib.contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


class _Dev:
    """One run, from taking the lock to the last child's end."""

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        prepare: Prepare,
        argvs: Mapping[str, Sequence[str]],
    ) -> None:
        self.folder, self.host, self.port = folder.absolute(), host, port
        self.prepare, self.argvs = prepare, argvs
        self.env_file = self.folder / "dev.env"
        self.stopping = False
        self.servers: Sequence[Server] = ()
        self.processes: Sequence[ChildProcess] = ()
        self.admin_ports: Sequence[int] = ()

    async def run(self) -> None:
        with usable(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            own = try_lock(self.folder / "dev.lock")
        if own is None:
            raise EmbeddedError(
                f"Another `aftertone dev` runs in {self.folder}: stop it or name another folder."
            )
        try:
            held = await self._after_leftovers()
            try:
                _check_port(self.host, self.port)
                await self._serve(held)
            finally:
                os.close(held)
        finally:
            os.close(own)

    async def _after_leftovers(self) -> int:
        """The lock that the service's processes hold while they live, a killed run's too."""
        self.env_file.unlink(missing_ok=True)
        held = await lock(self.folder / "processes.lock", _LEFTOVERS_PATIENCE_S)
        if held is None:
            raise EmbeddedError(f"Processes of an earlier run in {self.folder} do not end.")
        return held

    async def _serve(self, held: int) -> None:
        servers = EmbeddedServers(self.folder)
        self.servers = servers.all
        keepers: list[asyncio.Task[None]] = []
        async with _mail_sink(self.folder / "mail") as smtp_url:
            try:
                await servers.start()
                ours = await self._prepared({**servers.environment(), **_mail(smtp_url)})
                await self._start_processes(ours, held)
                keepers += (asyncio.create_task(keep(part)) for part in self._parts())
                await asyncio.gather(*keepers, self._announce(ours))
            finally:
                self.stopping = True
                await self._stop(keepers)

    async def _prepared(self, servers: Mapping[str, str]) -> dict[str, str]:
        # Now that the servers have theirs: what was free before may be one of those.
        own, *self.admin_ports = ports.free_some(self.host, 1 + len(self.argvs))
        self.port = self.port or own
        ours = {
            "AFTERTONE_URL": _url(self.host, self.port),
            "AFTERTONE_ADMIN_URL": _url(ports.LOOPBACK, self.admin_ports[0]),
            "AFTERTONE_HOST": self.host,
            "AFTERTONE_PORT": str(self.port),
            **servers,
        }
        return {**ours, **(await self.prepare(ours)).environment}

    async def _start_processes(self, ours: Mapping[str, str], held: int) -> None:
        environment = {**os.environ, **ours}
        self.processes = [
            ChildProcess(name, argv, {**environment, "AFTERTONE_ADMIN_PORT": str(port)}, held)
            for (name, argv), port in zip(self.argvs.items(), self.admin_ports, strict=True)
        ]
        for process in self.processes:
            await process.start()

    def _parts(self) -> list[Part]:
        return [*self.processes, *self.servers]

    async def _announce(self, ours: Mapping[str, str]) -> None:
        """Writes `dev.env` and the lines to copy once HTTP answers; both name what runs by then."""
        give_up = time.monotonic() + _READY_WITHIN_S
        host = _reachable(self.host)
        while not (await ask(self.port, b"GET / HTTP/1.0\r\n\r\n", host)).startswith(b"HTTP/"):
            if time.monotonic() > give_up:
                raise EmbeddedError(f"Nothing answered on port {self.port} in {_READY_WITHIN_S} s.")
            await asyncio.sleep(0.02)
        shown = {name: ours[name] for name in ours if name not in _NOT_FOR_CLIENTS}
        with usable(self.folder):
            write_env(self.env_file, shown)
        print(welcome(self.env_file, shown), flush=True)

    async def _stop(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """Who answers callers first, then the workers, then what all of them use."""
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        self.env_file.unlink(missing_ok=True)
        for group in (self.processes[:1], self.processes[1:], self.servers):
            await asyncio.gather(*(part.stop() for part in group))

    def kill(self) -> None:
        """Ends every child at once; whoever waits for one of them goes on."""
        reaper.signal_all([part.pid for part in self._parts() if part.alive], signal.SIGKILL)


@contextlib.asynccontextmanager
async def _mail_sink(folder: Path) -> AsyncIterator[str]:
    """Where the e-mail channel delivers to: files that a person can open."""
    try:
        from service.embedded.smtp import MailSink
    except ImportError as error:
        raise EmbeddedError(
            f"{error.name} is not installed: `pip install aftertone[embedded]`."
        ) from None
    _make(folder)
    async with MailSink.open(folder) as sink:
        yield sink.url


def _make(folder: Path) -> None:
    with usable(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _mail(smtp_url: str) -> dict[str, str]:
    return {
        "AFTERTONE_SMTP_URL": smtp_url,
        "AFTERTONE_EMAIL_SENDER": "Aftertone <voicemail@aftertone.localhost>",
    }


def _check_port(host: str, port: int) -> None:
    """Says that the port to serve on is taken now rather than when everything else has started."""
    try:
        ports.bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} is taken by another program: choose another with --port (0: any)."
            ) from error
        raise EmbeddedError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error


def _reachable(host: str) -> str:
    """An address that a client on this machine can dial when the server listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _url(host: str, port: int) -> str:
    reachable = _reachable(host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
