"""A deployment that tests may break: its own servers behind proxies, and its own processes."""

import asyncio
import shutil
import sys
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import msgspec
import pytest

from service.embedded.child import Command
from service.embedded.cluster import EmbeddedCluster
from service.embedded.server import Server
from service.embedded.servers import EmbeddedServers
from tests.support.audit import Auditor, Findings
from tests.support.clients import answer_of
from tests.support.forked import ForkedChild, ServiceProcess
from tests.support.ledger import Ledger
from tests.support.log_scan import folder_with_logs
from tests.support.proxy import Proxy
from tests.support.running import AccountClient, RunningService
from tests.support.servers import write_without_waiting
from tests.support.waiting import wait_until

# Short, so that a test with a frozen server takes seconds; long enough for a busy machine.
DATABASE_TIMEOUT_S = 3.0
S3_TIMEOUT_S = 4.0

_DATABASE, _NATS, _S3 = "AFTERTONE_DATABASE_URL", "AFTERTONE_NATS_URL", "AFTERTONE_S3_ENDPOINT"
_WAITING = "SELECT EXISTS (SELECT FROM outbox WHERE stream_seq IS NULL AND seq <= $1)"
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Proxies(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy for each connection between a process and a server."""

    postgres: Proxy
    relay_postgres: Proxy
    s3: Proxy
    nats: Proxy

    @property
    def all(self) -> tuple[Proxy, ...]:
        return self.postgres, self.relay_postgres, self.s3, self.nats


class AuditedService(RunningService):
    """Service whose parts tests may break: `restore` repairs them, `audit` checks everything."""

    def __init__(
        self, servers: EmbeddedServers | EmbeddedCluster, folder: Path, auditor: Auditor
    ) -> None:
        super().__init__(servers, folder)
        self._auditor = auditor

    @abstractmethod
    async def restore(self) -> None:
        """Restores servers and processes to normal operation."""

    async def audit(
        self, account: AccountClient, ledger: Ledger, *, all_accounts: bool = False
    ) -> Findings:
        """Sweeps orphans, then checks everything. Needs a deployment at rest."""
        return await self._auditor.check(account, ledger, all_accounts=all_accounts)

    async def caught_up(self) -> None:
        """Waits until every event that exists now has been sent."""
        connection = await asyncpg.connect(self.servers.postgres.url())
        try:
            last = await connection.fetchval("SELECT max(seq) FROM outbox")

            async def sent() -> bool:
                return not await connection.fetchval(_WAITING, last)

            await wait_until(sent)
        finally:
            await connection.close()

    async def let_leases_end(self) -> None:
        """Ends the leases that interrupted requests hold on their idempotency keys."""
        await self.servers.postgres.psql("UPDATE idempotency SET leased_until = '-infinity'")

    async def recovered(self, account: AccountClient) -> None:
        """Waits until the API lists boxes again."""

        async def lists_boxes() -> bool:
            answer = await answer_of(account.http.get(account.path("vmboxes")))
            return answer is not None and answer.status_code == httpx.codes.OK

        await wait_until(lists_boxes)


class Deployment(AuditedService):
    """Servers, proxies, an API and a relay. `restore` repairs everything that a test broke."""

    servers: EmbeddedServers

    def __init__(
        self, servers: EmbeddedServers, folder: Path, proxies: Proxies, auditor: Auditor
    ) -> None:
        super().__init__(servers, folder, auditor)
        self.proxies = proxies

    @classmethod
    @asynccontextmanager
    async def open(cls, **settings: str) -> "AsyncIterator[Deployment]":
        """Starts the servers and prepares them; starts no process of the service."""
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(folder_with_logs("aftertone-faults-"))
            servers = await stack.enter_async_context(EmbeddedServers(folder))
            await write_without_waiting(servers)
            ports = servers.postgres.ports
            targets = (ports.postgres, ports.postgres, ports.s3, ports.nats)
            postgres, relay_postgres, s3, nats = [
                await stack.enter_async_context(Proxy.before(port)) for port in targets
            ]
            proxies = Proxies(postgres=postgres, relay_postgres=relay_postgres, s3=s3, nats=nats)
            auditor = await stack.enter_async_context(Auditor.open(servers.environment()))
            deployment = cls(servers, folder / "service", proxies, auditor)
            stack.push_async_callback(deployment._abandon)
            await deployment._prepare(settings)
            yield deployment

    async def _abandon(self) -> None:
        """Kills everything: the data is not needed any more."""
        await asyncio.gather(*(child.kill() for child in self.processes.values()))
        await asyncio.gather(*(server.kill() for server in self.servers.all))

    async def _prepare(self, settings: dict[str, str]) -> None:
        direct = self.servers.environment()
        # Preparing sets the credentials of these servers; other tests have other servers.
        with pytest.MonkeyPatch.context() as environment:
            for name in _CREDENTIALS:
                environment.setenv(name, direct[name])
            await self.prepare(
                {
                    _DATABASE: through(self.proxies.postgres, direct[_DATABASE]),
                    _NATS: through(self.proxies.nats, direct[_NATS]),
                    _S3: through(self.proxies.s3, direct[_S3]),
                    "AFTERTONE_DATABASE_TIMEOUT_S": str(DATABASE_TIMEOUT_S),
                    "AFTERTONE_S3_CONNECT_TIMEOUT_S": "2",
                    "AFTERTONE_S3_TIMEOUT_S": str(S3_TIMEOUT_S),
                    **settings,
                }
            )

    @property
    def api(self) -> ServiceProcess:
        return self.processes["api"]

    @property
    def relay(self) -> ServiceProcess:
        return self.processes["relay"]

    async def start_api(self) -> ServiceProcess:
        return await self.start("api")

    async def start_relay(self, label: str = "relay", **more: str) -> ServiceProcess:
        """Starts a relay. Several relays of one deployment differ by label."""
        url = through(self.proxies.relay_postgres, self.servers.environment()[_DATABASE])
        command = Command(
            argv=[sys.executable, "-m", "service", "relay"],
            environment={**self.environment, _DATABASE: url, **more},
            log=self.folder / f"{label}.log",
        )
        child = self.processes[label] = ForkedChild(label, command)
        await child.start()
        return child

    async def restore(self) -> None:
        """Restores proxies, servers and processes to normal operation."""
        for proxy in self.proxies.all:
            await proxy.restore()
        parts: list[ServiceProcess | Server] = [*self.processes.values(), *self.servers.all]
        for part in parts:
            if part.alive:
                part.resume()
        await asyncio.gather(*(server.start() for server in self.servers.all))
        for label in self.processes.keys() - {"api", "relay"}:
            await self.processes.pop(label).stop()
        for name, start in (("api", self.start_api), ("relay", self.start_relay)):
            if name not in self.processes or not self.processes[name].alive:
                await start()

    async def wipe_nats(self) -> None:
        """Deletes the stream with all its messages."""
        await self.servers.nats.stop()
        await asyncio.to_thread(shutil.rmtree, self.servers.nats.data / "store")
        await self.servers.nats.start()

    @property
    def is_at_rest(self) -> bool:
        """True when no server works on a request that its client has given up."""
        return self.proxies.s3.is_at_rest and self.proxies.postgres.is_at_rest


def through(proxy: Proxy, url: str) -> str:
    """Returns the same URL with the address of the proxy."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}{at}127.0.0.1:{proxy.port}").geturl()
