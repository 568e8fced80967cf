"""A stack of its own: embedded servers, the real API and relay, a static server, data to read."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from service.embedded.child import Child, Command
from service.embedded.servers import EmbeddedServers
from tests.benchmarks.dovecot import Dovecot
from tests.benchmarks.growth import Growth, fill
from tests.benchmarks.load import Job
from tests.benchmarks.measure import REPOSITORY, BenchFailed, sent_once
from tests.benchmarks.pgbench import Pgbench
from tests.benchmarks.presign import Presigner
from tests.benchmarks.requests import MULTIPART_TYPE, head, multipart_body
from tests.support.ports import free_port
from tests.support.running import AccountClient, RunningService
from tests.support.waiting import wait_until

_READ_BOXES = 16
_MESSAGES_PER_BOX = 64
_CACHED_BOXES = 4
# A box takes 100 messages that await their audio: enough boxes for 4 000 of them a second.
_BOXES_PER_SECOND = 40
_PATIENCE_S = 300


class Stored(msgspec.Struct, frozen=True):
    """A message to read and to file."""

    vmbox_id: str
    media_id: str
    audio_key: str


class Stack:
    """The service under measurement. Boxes that are written are not those that are read."""

    def __init__(self, servers: EmbeddedServers, service: RunningService, folder: Path) -> None:
        self.servers = servers
        self.service = service
        self.folder = folder
        self.pgbench = Pgbench(servers, folder)
        self.ports: dict[str, int] = {}
        self.account: AccountClient
        self.read_boxes: list[str] = []
        self.store_boxes: list[str] = []
        self.messages: list[Stored] = []
        self.cached_messages: list[Stored] = []
        self.presigner = _presigner(servers)
        self.dovecot: Dovecot | None = None

    @property
    def api_host(self) -> str:
        return urlsplit(self.service.url).netloc

    def target(self, vmbox_id: str, *more: str) -> str:
        """The path of a box's messages, or of what lies below them."""
        return "/v2/" + self.account.path("vmboxes", vmbox_id, "messages", *more)

    def trees(self, server: str = "api") -> dict[str, int]:
        """Returns the roots of the process trees that use CPU time during a measurement."""
        processes = self.service.processes
        return {
            "api": processes[server].pid,
            "relay": processes["relay"].pid,
            "postgres": self.servers.postgres.pid,
            "weed": self.servers.s3.pid,
            "nats": self.servers.nats.pid,
        }

    async def prepare(self, seconds: float, most_clients: int, growth: Growth | None) -> None:
        """Boxes, messages to read, the database for pgbench, the servers to compare with."""
        more = {"AFTERTONE_TOKEN_LIFETIME_S": "86400", "AFTERTONE_LOG_LEVEL": "warning"}
        await self.service.prepare(more)
        await asyncio.gather(self.service.start("api"), self.service.start("relay"))
        self.account = await self.service.an_account()
        boxes = max(_READ_BOXES, round((seconds + 1) * _BOXES_PER_SECOND))
        self.read_boxes = [await self.account.a_vmbox() for _ in range(_READ_BOXES)]
        self.store_boxes = [await self.account.a_vmbox() for _ in range(boxes)]
        await self._start_second()
        self.messages = await self._store_messages(self.read_boxes, "api")
        if growth is not None:
            self.messages = [Stored(*row) for row in await fill(self, growth)]
        cached_boxes = [await self.account.a_vmbox() for _ in range(_CACHED_BOXES)]
        self.cached_messages = await self._store_messages(cached_boxes, "second")
        await self._write_page()
        await asyncio.gather(self._start("static", "page.json"), self._start("bare"))
        await self.pgbench.prepare(most_clients)
        await self.settle()

    async def _start_second(self) -> None:
        """Starts a process with a cache of audio, and with a public endpoint of the store."""
        second = await self.service.another_api(
            AFTERTONE_AUDIO_CACHE_MB="256",
            AFTERTONE_S3_PUBLIC_ENDPOINT=self.servers.s3.endpoint(),
        )
        self.service.processes["second"] = second.processes["api"]
        self.ports["second"] = _address(second.url)[1]

    async def put_object(self, key: str, content: bytes, content_type: str) -> None:
        request = head(
            "PUT",
            self.presigner.target("PUT", key),
            self.presigner.host,
            len(content),
            content_type=content_type,
        )
        host, port = self.s3_address
        await sent_once(
            "preparation", Job(host=host, port=port, requests=[[request]], body=content)
        )

    async def _store_messages(self, boxes: list[str], server: str) -> list[Stored]:
        body = multipart_body()
        requests = [
            [self.head("PUT", self.target(box), len(body), content_type=MULTIPART_TYPE)]
            * _MESSAGES_PER_BOX
            for box in boxes
        ]
        host, port = self.address_of(server)
        await sent_once("preparation", Job(host=host, port=port, requests=requests, body=body))
        rows = await self.servers.postgres.psql(
            "SELECT hex(vmbox_id), month || '-' || hex(id), audio_key FROM messages ORDER BY id"
        )
        stored = [Stored(*row.split("|")) for row in rows.splitlines()]
        return [message for message in stored if message.vmbox_id in set(boxes)]

    @property
    def api_address(self) -> tuple[str, int]:
        return _address(self.service.url)

    def address_of(self, server: str) -> tuple[str, int]:
        return self.api_address if server == "api" else ("127.0.0.1", self.ports[server])

    @property
    def s3_address(self) -> tuple[str, int]:
        return _address(self.servers.s3.endpoint())

    def head(self, method: str, target: str, length: int = 0, **headers: str) -> bytes:
        """A request to the service up to its body, signed in as the account."""
        return head(
            method, target, self.api_host, length, x_auth_token=self.account.token, **headers
        )

    async def _write_page(self) -> None:
        """Reply of the static server: a real page of 50 messages."""
        page = await self.account.http.get(self.target(self.read_boxes[0]).removeprefix("/v2/"))
        if len(page.json()["data"]) != 50:
            raise BenchFailed(f"a page of 50 messages was expected: {page.text[:500]}")
        (self.folder / "page.json").write_bytes(page.content)

    async def _start(self, name: str, *arguments: str) -> None:
        """One of this package's servers; it stops with the service's processes."""
        self.ports[name] = port = free_port()
        script = ("-m", f"tests.benchmarks.{name}", str(port), *arguments)
        environment = {**self.service.environment, "PYTHONPATH": str(REPOSITORY)}
        server = self.service.processes[name] = Child(
            name,
            Command(
                argv=[sys.executable, *script],
                environment=environment,
                folder=self.folder,
                log=self.folder / f"{name}.log",
            ),
        )
        await server.start()
        await _until_listening(server, port)

    async def settle(self) -> int:
        """Waits until the relay has sent all, and begins a checkpoint interval; the lag at first.

        Messages that await their audio are forgotten: a box takes a hundred of them only.
        """
        first = await self._unsent()

        async def is_empty() -> bool:
            return await self._unsent() == 0

        try:
            await wait_until(is_empty, _PATIENCE_S)
        except AssertionError as error:
            raise BenchFailed(f"the relay still has events after {_PATIENCE_S} s") from error
        await self.servers.postgres.psql(
            "UPDATE vmbox_counts SET pending_count = 0 WHERE pending_count > 0; CHECKPOINT"
        )
        return first

    async def _unsent(self) -> int:
        text = "SELECT count(*) FROM outbox WHERE stream_seq IS NULL"
        return int(await self.servers.postgres.psql(text))


@asynccontextmanager
async def running_stack(
    seconds: float, most_clients: int, growth: Growth | None = None
) -> AsyncIterator[Stack]:
    """Starts and fills all servers, in a folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="aftertone-bench-"))
    try:
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(EmbeddedServers(folder))
            service = RunningService(servers, folder / "service", Child)
            stack.push_async_callback(service.stop)
            ready = Stack(servers, service, folder / "service")
            await ready.prepare(seconds, most_clients, growth)
            ready.dovecot = await stack.enter_async_context(Dovecot.open(most_clients))
            stack.push_async_callback(ready.account.http.aclose)
            yield ready
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _presigner(servers: EmbeddedServers) -> Presigner:
    settings = servers.environment()
    return Presigner(
        endpoint=settings["AFTERTONE_S3_ENDPOINT"],
        bucket=settings["AFTERTONE_S3_BUCKET"],
        region=settings["AFTERTONE_S3_REGION"],
        access_key=settings["AWS_ACCESS_KEY_ID"],
        secret_key=settings["AWS_SECRET_ACCESS_KEY"],
    )


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


async def _until_listening(server: Child, port: int) -> None:
    async def listens_or_ended() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return not server.alive
        writer.close()
        return True

    await wait_until(listens_or_ended)
    if not server.alive:
        raise BenchFailed(f"the {server.name} server does not answer")
