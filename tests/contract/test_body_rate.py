"""Minimum body rate and the bound on uploads in progress."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import pytest_asyncio

from tests.support.admin import AdminPort
from tests.support.ports import free_port
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

STRICT = {
    "AFTERTONE_CLIENT_GRACE_S": "1",
    "AFTERTONE_MIN_UPLOAD_BYTES_PER_S": "100000",
    "AFTERTONE_MAX_UPLOADS_IN_FLIGHT": "2",
}


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def strict(service: RunningService) -> AsyncIterator[AccountClient]:
    api = await service.another_api(**STRICT)
    account = await api.an_account()
    yield account
    await account.http.aclose()
    await api.stop()


@asynccontextmanager
async def _api_with_upload_slots(
    service: RunningService, count: int, per_account: int
) -> AsyncIterator[tuple[AccountClient, AdminPort]]:
    admin = AdminPort(free_port())
    api = await service.another_api(
        AFTERTONE_MAX_UPLOADS_IN_FLIGHT=str(count),
        AFTERTONE_MAX_UPLOADS_PER_ACCOUNT=str(per_account),
        **admin.environment,
    )
    account = await api.an_account()
    try:
        yield account, admin
    finally:
        await account.http.aclose()
        await api.stop()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _begin_upload(account: AccountClient, vmbox_id: str, first: bytes) -> Connection:
    """Begins an upload: sends the head and `first`, and declares a longer body."""
    host, port = account.service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"PUT /v2/{account.path('vmboxes', vmbox_id, 'messages')} HTTP/1.1\r\nHost: x\r\n"
        f"X-Auth-Token: {account.token}\r\nContent-Type: audio/mpeg\r\n"
        f"Content-Length: 1000000\r\n\r\n"
    )
    writer.write(head.encode() + first)
    await writer.drain()
    return reader, writer


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_an_upload_below_the_minimum_rate_is_answered_with_408(
    strict: AccountClient,
) -> None:
    vmbox_id = await strict.a_vmbox()
    reader, writer = await _begin_upload(strict, vmbox_id, b"x")
    answer = await reader.read()
    await _close(writer)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"request_timeout"' in answer
    assert await strict.listed(vmbox_id) == []


async def test_slow_uploads_hold_no_upload_slot(strict: AccountClient) -> None:
    vmbox_id = await strict.a_vmbox()
    slow = [await _begin_upload(strict, vmbox_id, b"x") for _ in range(50)]
    await strict.leave(vmbox_id, b"y" * 64_000)
    for _, writer in slow:
        await _close(writer)
    assert await strict.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_an_upload_without_a_free_slot_is_refused_until_a_slot_is_free(
    service: RunningService,
) -> None:
    async with _api_with_upload_slots(service, 2, 2) as (account, admin):
        vmbox_id = await account.a_vmbox()

        async def upload() -> httpx.Response:
            return await account.http.put(
                account.path("vmboxes", vmbox_id, "messages"),
                content=b"z" * 40_000,
                headers={"Content-Type": "audio/mpeg"},
            )

        held = [await _begin_upload(account, vmbox_id, b"x" * 40_000) for _ in range(2)]
        await wait_until(lambda: admin.shows(2, "aftertone_uploads_in_flight"))
        refused = await upload()
        assert refused.status_code == 503
        assert refused.json()["message"] == "service_unavailable"
        assert int(refused.headers["retry-after"]) > 0
        for _, writer in held:
            await _close(writer)
        await wait_until(lambda: admin.shows(0, "aftertone_uploads_in_flight"))
        assert data_of(await upload(), 201)["folder"] == "new"


@pytest.mark.long
async def test_an_account_gets_only_its_share_of_the_upload_slots(service: RunningService) -> None:
    async with _api_with_upload_slots(service, 4, 2) as (account, admin):
        other = await account.service.an_account()
        vmbox_id, others_vmbox_id = await account.a_vmbox(), await other.a_vmbox()

        async def store(token: str, path: str) -> int:
            answer = await account.http.put(
                path,
                content=b"z" * 40_000,
                headers={"Content-Type": "audio/mpeg", "X-Auth-Token": token},
            )
            return answer.status_code

        path = account.path("vmboxes", vmbox_id, "messages")
        held = [await _begin_upload(account, vmbox_id, b"x" * 40_000) for _ in range(2)]
        await wait_until(lambda: admin.shows(2, "aftertone_uploads_in_flight"))
        assert await store(account.token, path) == 503
        assert await store(other.token, other.path("vmboxes", others_vmbox_id, "messages")) == 201
        # The root account acts for the account in the path.
        assert await store(service.root_token, path) == 503
        for _, writer in held:
            await _close(writer)
        await other.http.aclose()


async def test_a_slow_download_is_not_cut(strict: AccountClient) -> None:
    """The minimum rate holds for uploads only; this download lasts longer than the grace."""
    vmbox_id = await strict.a_vmbox()
    audio = bytes(range(256)) * 12_000
    media_id = await strict.leave(vmbox_id, audio)
    raw = strict.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    host, port = strict.service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=16_384)
    head = (
        f"GET /v2/{raw} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"X-Auth-Token: {strict.token}\r\n\r\n"
    )
    writer.write(head.encode())
    received = b""
    for _ in range(12):
        received += await reader.read(16_384)
        await asyncio.sleep(0.1)  # a slow client
    received += await reader.read()
    await _close(writer)
    assert received.partition(b"\r\n\r\n")[2] == audio
