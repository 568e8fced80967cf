"""Connections that send nothing, peers with too many connections, and readiness."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from tests.support.admin import AdminPort
from tests.support.ports import free_port
from tests.support.running import RunningService
from tests.support.waiting import wait_until

PEER, OTHER_PEER = "127.0.0.2", "127.0.0.1"
LIMIT = 5


class Connections:
    """Connections of one peer; `closed` counts those that the service has closed."""

    def __init__(self) -> None:
        self.closed = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._readers: list[asyncio.Task[None]] = []

    async def open(self, api: RunningService, count: int, first: bytes = b"") -> None:
        host, port = api.url.removeprefix("http://").split(":")
        for _ in range(count):
            reader, writer = await asyncio.open_connection(host, int(port), local_addr=(PEER, 0))
            writer.write(first)
            self._writers.append(writer)
            self._readers.append(asyncio.create_task(self._read(reader)))

    def close(self) -> None:
        for task in self._readers:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            await reader.read()
        self.closed += 1


@asynccontextmanager
async def attacked(
    service: RunningService, **settings: str
) -> AsyncIterator[tuple[RunningService, AdminPort, Connections]]:
    admin, connections = AdminPort(free_port()), Connections()
    api = await service.another_api(**settings, **admin.environment)
    try:
        yield api, admin, connections
    finally:
        connections.close()
        await api.stop()


async def statuses(api: RunningService, count: int) -> Sequence[int]:
    transport = httpx.AsyncHTTPTransport(local_address=OTHER_PEER)
    async with httpx.AsyncClient(transport=transport, base_url=api.url) as client:
        return [(await client.get("/v2/token_auth")).status_code for _ in range(count)]


async def test_silent_and_half_sent_requests_are_closed_after_the_header_timeout(
    service: RunningService,
) -> None:
    async with attacked(service, AFTERTONE_CLIENT_GRACE_S="1") as (api, _, connections):
        await connections.open(api, 3)
        await connections.open(api, 3, b"GET / HTTP/1.1\r\n")
        # The preface of HTTP/2.
        await connections.open(api, 3, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        await wait_until(lambda: connections.closed == 9)


async def test_a_peer_keeps_only_its_limit_of_connections_and_another_one_is_served(
    service: RunningService,
) -> None:
    settings = {
        "AFTERTONE_CLIENT_GRACE_S": "600",
        "AFTERTONE_MAX_CONNECTIONS": "40",
        "AFTERTONE_MAX_CONNECTIONS_PER_PEER": str(LIMIT),
    }
    async with attacked(service, **settings) as (api, admin, connections):
        # More than the process accepts at once.
        await connections.open(api, 60)
        await wait_until(lambda: connections.closed == 60 - LIMIT)
        assert await statuses(api, 3) == [401, 401, 401]
        assert await admin.value("aftertone_http_connections_closed_total") == 60 - LIMIT


@pytest.mark.long
async def test_connections_with_a_request_are_closed_last(service: RunningService) -> None:
    settings = {
        "AFTERTONE_CLIENT_GRACE_S": "600",
        "AFTERTONE_MAX_CONNECTIONS_PER_PEER": str(LIMIT),
    }
    async with attacked(service, **settings) as (api, admin, connections):
        await connections.open(api, LIMIT)

        async def are_counted() -> bool:
            return await admin.value("aftertone_http_connections") == LIMIT

        await wait_until(are_counted)
        busy = Connections()
        body = b"PUT /v2/user_auth HTTP/1.1\r\nContent-Length: 9\r\nHost: x\r\n\r\n{"
        await busy.open(api, LIMIT, body)
        await wait_until(lambda: connections.closed == LIMIT)
        assert busy.closed == 0
        busy.close()


@pytest.mark.long
async def test_a_process_without_free_connections_is_not_ready(service: RunningService) -> None:
    settings = {
        "AFTERTONE_CLIENT_GRACE_S": "600",
        "AFTERTONE_MAX_CONNECTIONS": "10",
        "AFTERTONE_MAX_CONNECTIONS_PER_PEER": "0",
    }
    async with attacked(service, **settings) as (api, admin, connections):
        await connections.open(api, 10)

        async def is_refused() -> bool:
            answer = await admin.health("ready")
            return answer.status == 503 and "10 connections" in answer.reason

        await wait_until(is_refused)
        connections.close()
        await wait_until(admin.is_ready)
