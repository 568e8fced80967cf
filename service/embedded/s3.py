"""Embedded S3 server: SeaweedFS in one process (`weed mini`)."""

import contextlib
from pathlib import Path

from service.embedded.binaries import Programs
from service.embedded.child import Command
from service.embedded.errors import EmbeddedError
from service.embedded.keys import Secrets
from service.embedded.ports import LOOPBACK, Ports
from service.embedded.server import Server, exchange

_NO_LEADER = "error: rpc error: code = Unknown desc = raft.Server: Not current leader"


class _SlowStart(Exception):
    """The server will not be ready for another 5 s; a restart is faster."""


class EmbeddedS3(Server):
    """S3 server with one key pair, fixed ports and no telemetry."""

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
        return self.ports.s3_ports

    async def command(self, lock: int) -> Command:
        self._remove_sockets()
        return self._build_command(
            [str(self._programs.weed), "-logtostderr=true", "mini", *self._options()],
            lock,
            {
                "AWS_ACCESS_KEY_ID": self._secrets.s3_access_key,
                "AWS_SECRET_ACCESS_KEY": self._secrets.s3_secret_key,
                # Creates one volume at a time instead of seven, to save disk space.
                "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
                "GOMEMLIMIT": "512MiB",
            },
            grace_s=4,
        )

    def _options(self) -> list[str]:
        ports = self.ports
        fixed_ports = {
            "master": (ports.master, ports.master_grpc),
            "volume": (ports.volume, ports.volume_grpc),
            "filer": (ports.filer, ports.filer_grpc),
            "s3": (ports.s3, ports.s3_grpc),
            "admin": (ports.admin, ports.admin_grpc),
        }
        listen = [
            option
            for server, (http, grpc) in fixed_ports.items()
            for option in (f"-{server}.port={http}", f"-{server}.port.grpc={grpc}")
        ]
        return [
            f"-dir={self.data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *listen,
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # A relative path: the path of a socket is limited to about 100 characters.
            "-s3.localSocket=s3.sock",
            "-filer.localSocket=filer.sock",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
        ]

    async def answers(self) -> bool:
        """Checks that a volume server has joined. Before that, S3 answers but cannot store."""
        topology = await exchange(self.ports.master, b"GET /dir/status HTTP/1.0\r\n\r\n")
        if b'"DataNodes":[{' not in topology.replace(b" ", b""):
            if _NO_LEADER in self.read_log():
                raise _SlowStart(_NO_LEADER)
            return False
        return (await exchange(self.ports.s3, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/")

    async def start(self, timeout_s: float = 60) -> None:
        """Starts the server; restarts it if its volume server tried to join too early.

        This happens in about 1 of 15 starts, and the volume server retries only after 5 s.
        """
        for _ in range(9):
            with contextlib.suppress(_SlowStart):
                return await super().start(timeout_s)
        raise EmbeddedError(f"{self.name} has no leader after 9 starts: see {self.log}.")

    async def stop(self) -> None:
        await super().stop()
        self._remove_sockets()

    async def kill(self) -> None:
        await super().kill()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """Removes the sockets in /tmp that a killed server did not remove."""
        for port in self.ports.s3_ports:
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                with contextlib.suppress(OSError):
                    socket.unlink()
