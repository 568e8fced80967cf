"""Runs the embedded servers and the processes of the service for `aftertone dev`."""

import asyncio
import contextlib
import errno
import os
import shlex
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from service.embedded import ports, reaper
from service.embedded.balancer import Balancer
from service.embedded.cluster import EmbeddedCluster
from service.embedded.disk import report_folder_errors
from service.embedded.errors import EmbeddedError, PortTaken
from service.embedded.keys import write_private
from service.embedded.locks import try_lock, wait_for_lock
from service.embedded.server import exchange
from service.embedded.servers import EmbeddedServers
from service.embedded.supervisor import ChildProcess, Supervised, supervise

_PREVIOUS_RUN_TIMEOUT_S = 20.0
_READY_TIMEOUT_S = 60.0
# Listen addresses. Clients use `AFTERTONE_URL` and `AFTERTONE_ADMIN_URL`.
_NOT_FOR_CLIENTS = ("AFTERTONE_HOST", "AFTERTONE_PORT", "AFTERTONE_ADMIN_PORT")
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DevProcess(msgspec.Struct, frozen=True, kw_only=True):
    """Process of the service. In a cluster, a pooled one connects through PgBouncer."""

    name: str
    argv: Sequence[str]
    serves_http: bool = False
    pooled: bool = False


Prepare = Callable[[Mapping[str, str]], Awaitable[Mapping[str, str]]]
"""Prepares the servers; returns more variables for the processes and for `dev.env`."""
OnReady = Callable[[Path, Mapping[str, str]], None]


async def run_dev(
    *,
    folder: Path,
    host: str,
    port: int,
    prepare: Prepare,
    on_ready: OnReady,
    processes: Sequence[DevProcess],
    cluster: bool = False,
) -> None:
    """Runs until SIGINT or SIGTERM; a second signal kills all processes at once.

    `prepare` receives the environment of the processes when the servers are ready. The processes
    that serve HTTP on the port (0: any free port) are stopped first. `on_ready` receives the path
    and the variables of `dev.env`. `cluster` starts the servers with their standbys and replicas,
    and a balancer on the port. Raises EmbeddedError.
    """
    dev = _DevRun(folder, host, port, prepare, on_ready, processes, cluster=cluster)
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


class _DevRun:
    """One run, from the lock on its folder to the end of the last child process."""

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        prepare: Prepare,
        on_ready: OnReady,
        plan: Sequence[DevProcess],
        *,
        cluster: bool,
    ) -> None:
        self.folder, self.host, self.port = folder.absolute(), host, port
        self.prepare, self.on_ready, self.plan, self.cluster = prepare, on_ready, plan, cluster
        self.env_file = self.folder / "dev.env"
        self.stopping = False
        self.servers: EmbeddedServers | EmbeddedCluster | None = None
        self.balancer: Balancer | None = None
        self.processes: Sequence[ChildProcess] = ()
        self.admin_ports: Sequence[int] = ()

    async def run(self) -> None:
        with report_folder_errors(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            own = try_lock(self.folder / "dev.lock")
        if own is None:
            raise EmbeddedError(
                f"Another `aftertone dev` is running in {self.folder}: stop it, or choose another "
                "folder with --folder."
            )
        try:
            processes_lock = await self._lock_processes()
            try:
                _check_port(self.host, self.port)
                await self._serve(processes_lock)
            finally:
                os.close(processes_lock)
        finally:
            os.close(own)

    async def _lock_processes(self) -> int:
        """Acquires the lock that child processes hold, including those of a killed run."""
        self.env_file.unlink(missing_ok=True)
        descriptor = await wait_for_lock(self.folder / "processes.lock", _PREVIOUS_RUN_TIMEOUT_S)
        if descriptor is None:
            raise EmbeddedError(
                f"Processes of a previous run in {self.folder} have not stopped; stop them first."
            )
        return descriptor

    async def _serve(self, processes_lock: int) -> None:
        kind = EmbeddedCluster if self.cluster else EmbeddedServers
        servers = self.servers = kind(self.folder)
        supervisors: list[asyncio.Task[None]] = []
        mail_folder = self.folder / "mail"
        async with _mail_sink(mail_folder) as smtp_url:
            try:
                await servers.start()
                variables = {**servers.environment(), **_mail(smtp_url, mail_folder)}
                settings = await self._build_settings(variables)
                await self._start_processes(settings, processes_lock)
                supervisors += (asyncio.create_task(supervise(item)) for item in self._children())
                await asyncio.gather(*supervisors, self._report_ready(settings))
            finally:
                self.stopping = True
                await self._stop(supervisors)

    async def _build_settings(self, servers: Mapping[str, str]) -> dict[str, str]:
        # Free ports are searched after the servers have started and have taken their own.
        http_port, *self.admin_ports = ports.find_free(self.host, 1 + len(self.plan))
        self.port = self.port or http_port
        settings = {
            "AFTERTONE_URL": _url(self.host, self.port),
            "AFTERTONE_ADMIN_URL": _url(ports.LOOPBACK, self.admin_ports[0]),
            "AFTERTONE_HOST": self.host,
            "AFTERTONE_PORT": str(self.port),
            **servers,
        }
        return {**settings, **await self.prepare(settings)}

    async def _start_processes(self, settings: Mapping[str, str], lock: int) -> None:
        environment = {"AFTERTONE_AUDIO_CACHE_MB": "256", **os.environ, **settings}
        if self.cluster:
            self.balancer = Balancer(self.port, self.host)
            await self.balancer.start()
        self.processes = [
            ChildProcess(
                process.name,
                process.argv,
                {**environment, "AFTERTONE_ADMIN_PORT": str(port), **self._more_settings(process)},
                lock,
            )
            for process, port in zip(self.plan, self.admin_ports, strict=True)
        ]
        for process in self.processes:
            await process.start()

    def _more_settings(self, process: DevProcess) -> dict[str, str]:
        """Returns the settings of one process of a cluster."""
        more: dict[str, str] = {}
        if self.balancer is not None and process.serves_http:
            [port] = ports.find_free(ports.LOOPBACK)
            self.balancer.admit(port)
            more |= {"AFTERTONE_HOST": ports.LOOPBACK, "AFTERTONE_PORT": str(port)}
        if isinstance(self.servers, EmbeddedCluster) and process.pooled:
            more |= self.servers.pooled_environment()
        return more

    def _children(self) -> list[Supervised]:
        return [*self.processes, *(self.servers.all if self.servers else ())]

    async def _report_ready(self, settings: Mapping[str, str]) -> None:
        """Waits until HTTP is served, then writes `dev.env` and calls `on_ready`."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        host, request = _client_host(self.host), b"GET / HTTP/1.0\r\n\r\n"
        while not (await exchange(self.port, request, host)).startswith(b"HTTP/"):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"No answer on port {self.port} within {_READY_TIMEOUT_S:.0f} s; see the log."
                )
            await asyncio.sleep(0.02)
        environment = {name: settings[name] for name in settings if name not in _NOT_FOR_CLIENTS}
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
        with report_folder_errors(self.folder):
            write_private(self.env_file, "".join(lines).encode())
        self.on_ready(self.env_file, environment)

    async def _stop(self, supervisors: Sequence[asyncio.Task[None]]) -> None:
        """Stops the API first, then the workers, then the servers."""
        for supervisor in supervisors:
            supervisor.cancel()
        await asyncio.gather(*supervisors, return_exceptions=True)
        self.env_file.unlink(missing_ok=True)
        apis = sum(process.serves_http for process in self.plan)
        for group in (self.processes[:apis], self.processes[apis:]):
            await asyncio.gather(*(child.stop() for child in group))
        if self.balancer is not None:
            await self.balancer.stop()
        if self.servers is not None:
            await self.servers.stop()

    def kill(self) -> None:
        """Kills every child process."""
        reaper.signal_all([child.pid for child in self._children() if child.alive], signal.SIGKILL)


@contextlib.asynccontextmanager
async def _mail_sink(folder: Path) -> AsyncIterator[str]:
    """Runs an SMTP server that writes mails to files; yields its URL."""
    try:
        from service.embedded.smtp import MailSink
    except ImportError as error:
        raise EmbeddedError(
            f"{error.name} is not installed: run `pip install aftertone[embedded]`."
        ) from None
    with report_folder_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240
    async with MailSink.open(folder) as sink:
        yield sink.url


def _mail(smtp_url: str, folder: Path) -> dict[str, str]:
    return {
        "AFTERTONE_KEPT_MAIL_FOLDER": str(folder),
        "AFTERTONE_SMTP_URL": smtp_url,
        "AFTERTONE_EMAIL_SENDER": "Aftertone <voicemail@aftertone.localhost>",
    }


def _check_port(host: str, port: int) -> None:
    """Raises PortTaken before anything starts if the HTTP port is in use."""
    try:
        ports.bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} is in use: choose another port with --port (0: any free port)."
            ) from error
        raise EmbeddedError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error


def _client_host(host: str) -> str:
    """Returns the address at which a local client reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _url(host: str, port: int) -> str:
    address = _client_host(host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
