"""A deployment on a cluster that tests may break: two APIs behind a balancer, two relays."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from service.embedded.balancer import Balancer
from service.embedded.child import Command
from service.embedded.cluster import EmbeddedCluster
from service.embedded.cluster.nats import NatsNode
from service.embedded.server import Server
from tests.support.audit import Auditor
from tests.support.clients import Clients
from tests.support.deployment import AuditedService
from tests.support.forked import ForkedChild, ServiceProcess
from tests.support.log_scan import folder_with_logs
from tests.support.nats_routes import NatsRoutes
from tests.support.ports import free_port
from tests.support.waiting import wait_until

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_APIS, _RELAYS = ("api-1", "api-2"), ("relay-1", "relay-2")


class ClusterDeployment(AuditedService):
    """All servers of a cluster, two APIs and two relays. `restore` repairs everything."""

    servers: EmbeddedCluster

    def __init__(
        self,
        servers: EmbeddedCluster,
        folder: Path,
        auditor: Auditor,
        routes: NatsRoutes,
        *,
        pooled: bool,
    ) -> None:
        super().__init__(servers, folder, auditor)
        self.routes = routes
        self._pooled = pooled
        self._balancer = Balancer(0)
        self._ports: dict[str, int] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, synchronous: bool = True, pooled: bool = False, **settings: str
    ) -> "AsyncIterator[ClusterDeployment]":
        """Starts all servers and processes. With `pooled`, the APIs connect through PgBouncer."""
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(folder_with_logs("aftertone-cluster-"))
            servers = EmbeddedCluster(folder, synchronous=synchronous)
            for node in servers.postgres.nodes:
                # Only processes fail here, and the kernel keeps what they wrote.
                node.settings |= {"fsync": "off", "full_page_writes": "off"}
            routes = await stack.enter_async_context(NatsRoutes.before(servers.nats.nodes))
            stack.push_async_callback(servers.kill)
            await servers.start()
            auditor = await stack.enter_async_context(Auditor.open(servers.environment()))
            deployment = cls(servers, folder / "service", auditor, routes, pooled=pooled)
            stack.push_async_callback(deployment._kill_processes)
            await deployment._prepare(settings)
            await deployment.restore()
            yield deployment

    async def _prepare(self, settings: dict[str, str]) -> None:
        # Preparing sets the credentials of these servers; other tests have other servers.
        with pytest.MonkeyPatch.context() as environment:
            for name in _CREDENTIALS:
                environment.setenv(name, self.servers.environment()[name])
            await self.prepare(settings)
        self._balancer = Balancer(int(self.environment["AFTERTONE_PORT"]))
        await self._balancer.start()

    async def _kill_processes(self) -> None:
        await asyncio.gather(*(child.kill() for child in self.processes.values()))
        await self._balancer.stop()

    async def restore(self) -> None:
        """Starts whatever is not running, and waits until all servers are healthy."""
        parts: list[ServiceProcess | Server] = [*self.processes.values(), *self.servers.all]
        for part in parts:
            if part.alive:
                part.resume()
        postgres = self.servers.postgres
        await self.routes.heal()
        await asyncio.gather(*(node.start() for node in self.servers.nats.nodes))
        await asyncio.gather(*(server.start() for server in self.servers.s3.all))
        await asyncio.gather(
            postgres.wait_for_standby(),
            self.servers.nats.wait_until_healthy(),
            self.servers.s3.wait_until_joined(),
        )
        for label in (*_APIS, *_RELAYS):
            if label not in self.processes or not self.processes[label].alive:
                await self.start_part(label)
        await self.answers()

    async def start_part(self, label: str, **more: str) -> ServiceProcess:
        """Starts an API or a relay by its label."""
        name = label.partition("-")[0]
        if name == "api":
            port = self._port_of(label)
            more = {**self._pooled_settings(), "AFTERTONE_PORT": str(port), **more}
        command = Command(
            argv=[sys.executable, "-m", "service", name],
            environment={**self.environment, **more},
            log=self.folder / f"{label}.log",
        )
        child = self.processes[label] = ForkedChild(label, command)
        await child.start()
        return child

    def _port_of(self, label: str) -> int:
        """Returns the port of an API, which stays the same after a restart."""
        if label not in self._ports:
            self._ports[label] = free_port()
            self._balancer.admit(self._ports[label])
        return self._ports[label]

    def _pooled_settings(self) -> dict[str, str]:
        return self.servers.pooled_environment() if self._pooled else {}

    async def fail_over(self, *, frozen: bool) -> None:
        """Kills or freezes the primary and promotes the standby."""
        await fail(self.servers.postgres.primary, frozen=frozen)
        await self.servers.promote_standby()

    async def publishes_again(self, clients: Clients) -> None:
        """Waits until the event of a message that is stored now has been published."""
        await clients.stored()
        await self.caught_up()

    async def leader_of(self, stream: str) -> NatsNode:
        """Returns the NATS node that leads a stream."""
        leaders: list[NatsNode] = []

        async def is_led() -> bool:
            leaders[:] = filter(None, [await self.servers.nats.leader_of(stream)])
            return bool(leaders)

        await wait_until(is_led)
        return leaders[0]


async def fail(server: Server, *, frozen: bool) -> None:
    """Suspends or kills a server."""
    if frozen:
        server.suspend()
    else:
        await server.kill()
