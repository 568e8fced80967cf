"""Three embedded NATS servers that form a JetStream cluster."""

import asyncio
import shutil
from pathlib import Path

import msgspec

from service.embedded.binaries import Programs
from service.embedded.child import Command
from service.embedded.ports import LOOPBACK
from service.embedded.server import Server, exchange, wait_for_state

_CONFIGURATION = """\
listen: {host}:{port}
http: {host}:{http}
server_name: {name}
jetstream {{
  store_dir: {store}
  max_memory_store: 64MB
  max_file_store: 4GB
}}
cluster {{
  name: aftertone
  listen: {host}:{route}
  routes: {routes}
  {cluster_options}
}}
{more}
"""
_ELECTION_TIMEOUT_S = 60.0


class NatsPorts(msgspec.Struct, frozen=True, kw_only=True):
    """Ports of one node: for clients, for the other nodes, and for monitoring."""

    client: int
    route: int
    http: int


class NatsNode(Server):
    """One node. `start` does not wait for a leader, which needs two nodes."""

    def __init__(
        self, name: str, data: Path, log: Path, programs: Programs, ports: NatsPorts
    ) -> None:
        super().__init__(f"NATS {name}", data, log)
        self.ports = ports
        self.routes: tuple[int, ...] = ()
        """Route ports of all nodes."""
        self.cluster_options = ""
        """More options of the block `cluster`."""
        self.more_configuration = ""
        """For example blocks `tls` and `authorization`."""
        self.server_name = f"aftertone-{name}"
        self._programs = programs

    def listens_on(self) -> tuple[int, ...]:
        return self.ports.client, self.ports.route, self.ports.http

    async def command(self, lock: int) -> Command:
        file = self.data / "nats.conf"
        file.write_text(
            _CONFIGURATION.format(
                host=LOOPBACK,
                port=self.ports.client,
                http=self.ports.http,
                route=self.ports.route,
                name=self.server_name,
                # JSON strings and lists are valid syntax here.
                store=msgspec.json.encode(str(self._store)).decode(),
                routes=msgspec.json.encode(
                    [f"nats://{LOOPBACK}:{port}" for port in self.routes]
                ).decode(),
                cluster_options=self.cluster_options,
                more=self.more_configuration,
            )
        )
        argv = [str(self._programs.nats_server), "--config", str(file)]
        return self._build_command(argv, lock, grace_s=5)

    @property
    def _store(self) -> Path:
        return self.data / "store"

    async def wipe(self) -> None:
        """Kills the node and deletes its store."""
        await self.kill()
        await asyncio.to_thread(shutil.rmtree, self._store, ignore_errors=True)

    async def answers(self) -> bool:
        greeting = await exchange(self.ports.client, b"")
        return greeting.startswith(b"INFO") and b'"jetstream":true' in greeting

    async def is_healthy(self) -> bool:
        """Returns whether the node follows a leader and has all its streams."""
        answer = await exchange(self.ports.http, b"GET /healthz HTTP/1.0\r\n\r\n")
        return b" 200 OK" in answer.partition(b"\r\n")[0]

    async def read_monitoring(self, path: str) -> bytes:
        """Returns the document of a monitoring endpoint, such as `jsz?streams=true`."""
        answer = await exchange(self.ports.http, f"GET /{path} HTTP/1.0\r\n\r\n".encode())
        return answer.partition(b"\r\n\r\n")[2]


class NatsCluster:
    """All nodes. Clients connect to any of them."""

    def __init__(self, nodes: tuple[NatsNode, ...]) -> None:
        self.nodes = nodes
        for node in nodes:
            node.routes = tuple(other.ports.route for other in nodes)

    def url(self, scheme: str = "nats") -> str:
        return ",".join(f"{scheme}://{LOOPBACK}:{node.ports.client}" for node in self.nodes)

    async def start(self) -> None:
        """Starts all nodes. Returns when they have elected a leader."""
        await asyncio.gather(*(node.start() for node in self.nodes))
        await self.wait_until_healthy()

    async def wait_until_healthy(self) -> None:
        """Waits until every node follows a leader and has all its streams."""

        async def are_healthy() -> bool:
            return all(await asyncio.gather(*(node.is_healthy() for node in self.nodes)))

        failure = f"The NATS nodes did not form a cluster: see {self.nodes[0].log}."
        await wait_for_state(are_healthy, _ELECTION_TIMEOUT_S, failure)

    async def leader_of(self, stream: str) -> NatsNode | None:
        """Returns the node that leads a stream; None during an election."""
        for node in self.nodes:
            if node.alive and (leader := await _leader_seen_by(node, stream)):
                return next((one for one in self.nodes if one.server_name == leader), None)
        return None

    async def stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes))


class _ClusterDetail(msgspec.Struct, frozen=True):
    leader: str = ""


class _StreamDetail(msgspec.Struct, frozen=True):
    name: str
    cluster: _ClusterDetail = _ClusterDetail()


class _AccountDetail(msgspec.Struct, frozen=True):
    stream_detail: list[_StreamDetail] = []


class _JetStreamDetail(msgspec.Struct, frozen=True):
    account_details: list[_AccountDetail] = []


async def _leader_seen_by(node: NatsNode, stream: str) -> str:
    document = await node.read_monitoring("jsz?accounts=true&streams=true")
    try:
        state = msgspec.json.decode(document, type=_JetStreamDetail)
    except msgspec.DecodeError:
        return ""
    streams = (found for account in state.account_details for found in account.stream_detail)
    return next((found.cluster.leader for found in streams if found.name == stream), "")
