"""All servers of a cluster on one machine, for `aftertone dev --cluster` and the tests."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from service.embedded.balancer import Balancer
from service.embedded.binaries import Programs
from service.embedded.cluster.nats import NatsCluster, NatsNode, NatsPorts
from service.embedded.cluster.pgbouncer import PgBouncer, find_pgbouncer
from service.embedded.cluster.ports import load_named_ports
from service.embedded.cluster.postgres import PostgresNode, PostgresPair
from service.embedded.cluster.s3 import S3Cluster, S3Servers, WeedServer
from service.embedded.disk import report_folder_errors
from service.embedded.server import Server
from service.embedded.server_group import ServerGroup, run_together

_POSTGRES = ("a", "b")
_NATS = ("1", "2", "3")
_VOLUMES = ("volume-1", "volume-2", "volume-3")
_GATEWAYS = ("gateway-1", "gateway-2")
_WEED = ("master", *_VOLUMES, "filer", *_GATEWAYS)


class EmbeddedCluster(ServerGroup):
    """Postgres with a standby, three NATS nodes, S3 nodes, and PgBouncer if it is installed.

    Each server can be stopped, killed, suspended and restarted on the same port and data.
    """

    def __init__(
        self, folder: Path, programs: Programs | None = None, *, synchronous: bool = True
    ) -> None:
        super().__init__(folder, programs)
        with report_folder_errors(self.folder):
            self._ports = load_named_ports(self.folder / "cluster-ports.json", _port_names())
        self.postgres = self._postgres_pair(synchronous=synchronous)
        self.nats = NatsCluster(tuple(map(self._nats_node, _NATS)))
        self.s3 = self._s3_cluster()
        self.pgbouncer = self._pgbouncer()
        self.gateways = Balancer(self._ports["s3"])

    @property
    def all(self) -> tuple[Server, ...]:
        pooler = (self.pgbouncer,) if self.pgbouncer else ()
        return *self.postgres.nodes, *self.nats.nodes, *self.s3.all, *pooler

    def _place(self, name: str) -> tuple[Path, Path]:
        return self.folder / name, self.folder / "logs" / f"{name}.log"

    def _postgres_pair(self, *, synchronous: bool) -> PostgresPair:
        first, second = (
            PostgresNode(
                name,
                *self._place(f"postgres-{name}"),
                self._programs,
                self._ports[f"postgres-{name}"],
                self._secrets,
            )
            for name in _POSTGRES
        )
        return PostgresPair(self.folder, (first, second), synchronous=synchronous)

    def _nats_node(self, name: str) -> NatsNode:
        ports = NatsPorts(**{kind: self._ports[f"nats-{name}-{kind}"] for kind in _nats_kinds()})
        return NatsNode(name, *self._place(f"nats-{name}"), self._programs, ports)

    def _s3_cluster(self) -> S3Cluster:
        servers = S3Servers(
            master=self._weed("master", "master"),
            volumes=tuple(self._weed("volume", name) for name in _VOLUMES),
            filer=self._weed("filer", "filer"),
            gateways=tuple(self._weed("s3", name) for name in _GATEWAYS),
        )
        return S3Cluster(servers, self._secrets)

    def _weed(self, kind: str, name: str) -> WeedServer:
        ports = (self._ports[name], self._ports[f"{name}-grpc"])
        return WeedServer(kind, name, *self._place(f"s3-{name}"), self._programs, ports)

    def _pgbouncer(self) -> PgBouncer | None:
        program = find_pgbouncer()
        if program is None:
            return None
        place, port = self._place("pgbouncer"), self._ports["pgbouncer"]
        return PgBouncer(*place, program, port, self.postgres, self._secrets)

    async def start(self) -> None:
        try:
            await run_together(self.postgres.start(), self.nats.start(), self._start_s3())
            if self.pgbouncer:
                await self.pgbouncer.start()
        except BaseException:
            await self.stop()
            raise

    async def _start_s3(self) -> None:
        await self.s3.start()
        for gateway in self.s3.gateways:
            self.gateways.admit(gateway.port)
        await self.gateways.start()

    async def promote_standby(self) -> None:
        """Makes the standby the primary of all clients: see `PostgresPair.promote`."""
        await self.postgres.promote()
        if self.pgbouncer:
            self.pgbouncer.follow_primary()

    async def stop(self) -> None:
        await self.gateways.stop()
        if self.pgbouncer:
            await self.pgbouncer.stop()
        await asyncio.gather(self.postgres.stop(), self.nats.stop(), self.s3.stop())

    async def kill(self) -> None:
        """Kills all servers: their data is not needed any more."""
        await self.gateways.stop()
        await asyncio.gather(*(server.kill() for server in self.all))

    def environment(self) -> dict[str, str]:
        return {
            **self._environment(self.postgres.url, self.nats.url(), self.gateways.url),
            "AFTERTONE_STREAM_REPLICAS": str(len(self.nats.nodes)),
        }

    def pooled_environment(self) -> dict[str, str]:
        """Returns the settings of API and notifiers, which connect through PgBouncer."""
        if self.pgbouncer is None:
            return {}
        return {
            "AFTERTONE_DATABASE_URL": self.pgbouncer.url(),
            "AFTERTONE_DATABASE_POOLER": "prepared" if self.pgbouncer.prepares else "unprepared",
        }


def _nats_kinds() -> Sequence[str]:
    return NatsPorts.__struct_fields__


def _port_names() -> list[str]:
    weed = (name for server in _WEED for name in (server, f"{server}-grpc"))
    nats = (f"nats-{node}-{kind}" for node in _NATS for kind in _nats_kinds())
    return [*(f"postgres-{node}" for node in _POSTGRES), *nats, *weed, "pgbouncer", "s3"]
