"""The embedded S3 server: SeaweedFS in one process (`weed mini`)."""

import contextlib
from pathlib import Path

from service.embedded.binaries import Programs
from service.embedded.child import Command
from service.embedded.errors import EmbeddedError
from service.embedded.keys import Secrets
from service.embedded.ports import LOOPBACK, Ports
from service.embedded.server import Server, ask, server_environment

_LATE = "error: rpc error: code = Unknown desc = raft.Server: Not current leader"


class _Late(Exception):
    """This life of the server would take 5 s longer than another one."""


class EmbeddedS3(Server):
    """Takes signed requests of one key pair; every port is pinned, telemetry is off."""

    def __init__(
        self, data: Path, log: Path, programs: Programs, ports: Ports, secrets: Secrets
    ) -> None:
        super().__init__("S3", data, log)
        self._programs = programs
        self._secrets = secrets
        self.ports = ports

    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.s3}"

    def listens_on(self) -> tuple[int, ...]:
        return self.ports.of_s3

    async def command(self, held: int) -> Command:
        self._remove_sockets()
        return Command(
            argv=[str(self._programs.weed), "-logtostderr=true", "mini", *self._options()],
            environment={
                **server_environment(self.data),
                "AWS_ACCESS_KEY_ID": self._secrets.s3_access_key,
                "AWS_SECRET_ACCESS_KEY": self._secrets.s3_secret_key,
                # One volume at a time instead of seven: a small folder stays small.
                "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
                "GOMEMLIMIT": "512MiB",
            },
            folder=self.data,
            log=self.log,
            held=held,
            grace_s=4,
        )

    def _options(self) -> list[str]:
        ports = self.ports
        pinned = {
            "master": (ports.master, ports.master_grpc),
            "volume": (ports.volume, ports.volume_grpc),
            "filer": (ports.filer, ports.filer_grpc),
            "s3": (ports.s3, ports.s3_grpc),
            "admin": (ports.admin, ports.admin_grpc),
        }
        listen = [
            option
            for part, (http, grpc) in pinned.items()
            for option in (f"-{part}.port={http}", f"-{part}.port.grpc={grpc}")
        ]
        return [
            f"-dir={self.data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *listen,
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # Relative, since a socket's path may have about 100 characters only.
            "-s3.localSocket=s3.sock",
            "-filer.localSocket=filer.sock",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
        ]

    async def answers(self) -> bool:
        """S3 answers before a volume server has joined: only then can it store."""
        topology = await ask(self.ports.master, b"GET /dir/status HTTP/1.0\r\n\r\n")
        if b'"DataNodes":[{' not in topology.replace(b" ", b""):
            if _LATE in self.said():
                raise _Late(_LATE)
            return False
        return (await ask(self.ports.s3, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/")

    async def start(self, timeout_s: float = 60) -> None:
        """Begins again when its volume part asked to join before its master part was ready.

        That happens once in 15 starts, and it would ask again after 5 s only.
        """
        for _ in range(9):
            with contextlib.suppress(_Late):
                return await super().start(timeout_s)
        raise EmbeddedError(f"{self.name} does not get its parts together: see {self.log}.")

    async def stop(self) -> None:
        await super().stop()
        self._remove_sockets()

    async def kill(self) -> None:
        await super().kill()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """It puts further sockets into /tmp, named by port, and leaves them there when killed."""
        for port in self.ports.of_s3:
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                with contextlib.suppress(OSError):
                    socket.unlink()
