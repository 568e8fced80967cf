"""Slow clients are cut, uploads in flight are bounded, and others do not notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest_asyncio

from tests.support.running import AccountClient, RunningService, data_of

IMPATIENT = {
    "AFTERTONE_CLIENT_GRACE_S": "0.5",
    "AFTERTONE_MIN_UPLOAD_BYTES_PER_S": "100000",
    "AFTERTONE_MAX_UPLOADS_IN_FLIGHT": "2",
}


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def impatient(service: RunningService) -> AsyncIterator[AccountClient]:
    api = await service.another_api(**IMPATIENT)
    account = await api.an_account()
    yield account
    await account.http.aclose()
    await api.stop()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _begin_upload(account: AccountClient, vmbox_id: str, first: bytes) -> Connection:
    """An upload that has sent its head and `first`, and promises more."""
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


async def test_a_client_that_trickles_is_cut_with_an_envelope(impatient: AccountClient) -> None:
    vmbox_id = await impatient.a_vmbox()
    reader, writer = await _begin_upload(impatient, vmbox_id, b"x")
    async with asyncio.timeout(5):
        answer = await reader.read()
    await _close(writer)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"request_timeout"' in answer
    assert await impatient.listed(vmbox_id) == []


async def test_clients_that_trickle_take_no_place_from_others(impatient: AccountClient) -> None:
    vmbox_id = await impatient.a_vmbox()
    slow = [await _begin_upload(impatient, vmbox_id, b"x") for _ in range(50)]
    await impatient.leave(vmbox_id, b"y" * 64_000)
    for _, writer in slow:
        await _close(writer)
    assert await impatient.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_one_upload_too_many_is_told_to_come_again(impatient: AccountClient) -> None:
    vmbox_id = await impatient.a_vmbox()
    held = [await _begin_upload(impatient, vmbox_id, b"x" * 40_000) for _ in range(2)]
    await asyncio.sleep(0.2)
    refused = await impatient.http.put(
        impatient.path("vmboxes", vmbox_id, "messages"),
        content=b"z" * 40_000,
        headers={"Content-Type": "audio/mpeg"},
    )
    assert refused.status_code == 503
    assert refused.json()["message"] == "service_unavailable"
    assert int(refused.headers["retry-after"]) > 0
    for _, writer in held:
        await _close(writer)
    async with asyncio.timeout(5):
        while True:
            again = await impatient.http.put(
                impatient.path("vmboxes", vmbox_id, "messages"),
                content=b"z" * 40_000,
                headers={"Content-Type": "audio/mpeg"},
            )
            if again.status_code == 201:
                break
            await asyncio.sleep(0.1)
    assert data_of(again, 201)["folder"] == "new"


async def test_a_slow_listener_hears_the_whole_message(impatient: AccountClient) -> None:
    """Longer than a client may hesitate with a body of its own."""
    vmbox_id = await impatient.a_vmbox()
    audio = bytes(range(256)) * 12_000
    media_id = await impatient.leave(vmbox_id, audio)
    raw = impatient.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    host, port = impatient.service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=16_384)
    head = (
        f"GET /v2/{raw} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"X-Auth-Token: {impatient.token}\r\n\r\n"
    )
    writer.write(head.encode())
    heard = b""
    for _ in range(12):
        heard += await reader.read(16_384)
        await asyncio.sleep(0.1)
    heard += await reader.read()
    await _close(writer)
    assert heard.partition(b"\r\n\r\n")[2] == audio
