"""Embedded S3 store of several servers: SeaweedFS master, volume servers, filer and gateways."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from service.embedded.binaries import Programs
from service.embedded.child import Command
from service.embedded.keys import Secrets, write_private
from service.embedded.ports import LOOPBACK
from service.embedded.server import Server, exchange, wait_for_state

_JOIN_TIMEOUT_S = 60.0


class WeedServer(Server):
    """One SeaweedFS server of the kind `master`, `volume`, `filer` or `s3`."""

    def __init__(
        self, kind: str, name: str, data: Path, log: Path, programs: Programs, ports: Sequence[int]
    ) -> None:
        super().__init__(f"S3 {name}", data, log)
        self.options: list[str] = []
        self._kind = kind
        self._programs = programs
        self._ports = tuple(ports)

    @property
    def port(self) -> int:
        return self._ports[0]

    @property
    def address(self) -> str:
        """Address with both ports, as SeaweedFS writes it."""
        return f"{LOOPBACK}:{self._ports[0]}.{self._ports[1]}"

    def listens_on(self) -> tuple[int, ...]:
        return self._ports

    async def command(self, lock: int) -> Command:
        address = [
            f"-ip.bind={LOOPBACK}",
            f"-port={self._ports[0]}",
            f"-port.grpc={self._ports[1]}",
        ]
        if self._kind != "s3":
            address.append(f"-ip={LOOPBACK}")
        return self._build_command(
            [
                str(self._programs.weed),
                "-logtostderr=true",
                self._kind,
                *address,
                *self.options,
            ],
            lock,
            {
                "WEED_MASTER_VOLUME_GROWTH_COPY_2": "2",
                "GOMEMLIMIT": "256MiB",
            },
            grace_s=4,
        )

    async def answers(self) -> bool:
        return (await exchange(self.port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/")


class S3Servers(msgspec.Struct, frozen=True, kw_only=True):
    """The servers of one store by kind."""

    master: WeedServer
    volumes: tuple[WeedServer, ...]
    filer: WeedServer
    gateways: tuple[WeedServer, ...]

    @property
    def all(self) -> tuple[WeedServer, ...]:
        return self.master, *self.volumes, self.filer, *self.gateways


class S3Cluster:
    """Store with two copies of each object on different volume servers.

    With three of them, objects can be stored while one is down.
    """

    def __init__(self, servers: S3Servers, secrets: Secrets) -> None:
        self.master, self.volumes = servers.master, servers.volumes
        self.filer, self.gateways = servers.filer, servers.gateways
        self.all = servers.all
        self._secrets = secrets
        master = f"-master={self.master.address}"
        self.master.options = [
            f"-mdir={self.master.data}",
            "-peers=none",
            "-defaultReplication=001",
            "-volumeSizeLimitMB=256",
            "-telemetry=false",
        ]
        for volume in self.volumes:
            volume.options = [f"-dir={volume.data}", "-max=30", "-preStopSeconds=0", master]
        self.filer.options = [f"-defaultStoreDir={self.filer.data}", master]
        for gateway in self.gateways:
            gateway.options = [
                f"-filer={self.filer.address}",
                f"-config={gateway.data / 's3.json'}",
                "-port.iceberg=0",
                "-port.lance=0",
            ]

    async def start(self) -> None:
        """Starts the servers in their order. Returns when objects can be stored."""
        for gateway in self.gateways:
            gateway.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(gateway.data / "s3.json", _access(self._secrets))
        await self.master.start()
        await asyncio.gather(*(volume.start() for volume in self.volumes))
        await self.wait_until_joined()
        await self.filer.start()
        await asyncio.gather(*(gateway.start() for gateway in self.gateways))

    async def wait_until_joined(self) -> None:
        """Waits until the master knows all volume servers."""
        failure = f"The volume servers did not join the master: see {self.master.log}."
        await wait_for_state(self._have_joined, _JOIN_TIMEOUT_S, failure)

    async def _have_joined(self) -> bool:
        topology = await exchange(self.master.port, b"GET /dir/status HTTP/1.0\r\n\r\n")
        return all(f"{LOOPBACK}:{volume.port}".encode() in topology for volume in self.volumes)

    async def stop(self) -> None:
        """Stops the gateways first and the master last."""
        for group in (self.gateways, (self.filer,), self.volumes, (self.master,)):
            await asyncio.gather(*(server.stop() for server in group))


def _access(secrets: Secrets) -> bytes:
    """Returns the access file of a gateway: one user, who may do everything."""
    keys = {"accessKey": secrets.s3_access_key, "secretKey": secrets.s3_secret_key}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    user = {"name": "aftertone", "credentials": [keys], "actions": actions}
    return msgspec.json.encode({"identities": [user]})
