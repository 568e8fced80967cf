"""Outages of the audio store: refused, stalled, reset and scarce connections."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from service.audio.store import READ_BLOCK_BYTES, AudioStore
from service.domain.errors import StorageUnavailable
from service.embedded.servers import EmbeddedServers
from tests.support.audio_samples import an_mp3
from tests.support.audio_stores import a_key, got, listed, listening, opened, put

Operation = Callable[[AudioStore], Awaitable[object]]
NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
OPERATIONS: dict[str, Operation] = {
    "put": lambda store: put(store, a_key(), an_mp3()),
    "put of a large file": lambda store: put(store, a_key(), bytes(3_000_000)),
    "read": lambda store: got(store, "tests/any", 0, 10),
    "copy": lambda store: store.copy("tests/any", a_key()),
    "delete": lambda store: store.delete("tests/any"),
    "delete_many": lambda store: store.delete_many([a_key() for _ in range(20)]),
    "list": lambda store: listed(store, "tests/"),
    "ensure_bucket": lambda store: store.ensure_bucket(),
    "ping": lambda store: store.ping(),
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


@each_operation
async def test_wrong_credentials_make_storage_unavailable_and_stay_secret(
    stranger: AudioStore, operation: Operation
) -> None:
    with pytest.raises(StorageUnavailable, check=lambda e: "sesame" not in repr(e)) as caught:
        await operation(stranger)
    assert "403" in caught.value.reason


@each_operation
async def test_a_refused_connection_makes_storage_unavailable(
    nowhere: AudioStore, operation: Operation
) -> None:
    with pytest.raises(StorageUnavailable):
        await operation(nowhere)


@each_operation
async def test_a_reset_connection_makes_storage_unavailable(
    cut_off: AudioStore, operation: Operation
) -> None:
    with pytest.raises(StorageUnavailable):
        await operation(cut_off)


@each_operation
async def test_a_store_that_does_not_answer_is_unavailable(
    servers: EmbeddedServers, impatient: AudioStore, operation: Operation
) -> None:
    servers.s3.suspend()
    try:
        with pytest.raises(StorageUnavailable):
            await operation(impatient)
    finally:
        servers.s3.resume()


async def test_a_store_that_stalls_between_two_blocks_ends_the_read(
    servers: EmbeddedServers, store: AudioStore, impatient: AudioStore
) -> None:
    key, size = a_key(), 7 * 2**20  # more than sockets hold on their way
    await put(store, key, bytes(size))
    async with impatient.read(key, 0, size) as blocks:
        assert len(await anext(blocks)) == READ_BLOCK_BYTES
        servers.s3.suspend()
        try:
            with pytest.raises(StorageUnavailable):
                async for _ in blocks:
                    pass
        finally:
            servers.s3.resume()


async def test_a_busy_store_gets_three_attempts(servers: EmbeddedServers) -> None:
    requests = 0

    async def too_busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while await reader.readuntil(b"\r\n\r\n"):
            requests += 1
            body = b"<Error><Code>SlowDown</Code><Message>secret</Message></Error>"
            head = f"HTTP/1.1 503 Slow Down\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            writer.write(head + body)

    async with listening(too_busy) as endpoint, opened(servers, endpoint=endpoint) as store:
        with pytest.raises(StorageUnavailable) as caught:
            await store.delete("tests/any")
    assert caught.value.reason == "DELETE returned 503 SlowDown"
    assert requests == 3


@pytest.mark.parametrize("size", [65_536, 2_000_000])
async def test_a_put_succeeds_after_one_lost_connection(
    servers: EmbeddedServers, store: AudioStore, size: int
) -> None:
    connections = 0

    async def cut_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections <= 2:
            await reader.read(1000)
            writer.transport.abort()
            return
        port = int(servers.s3.endpoint().rpartition(":")[2])
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            pump(reader, upstream_writer), pump(upstream_reader, writer), return_exceptions=True
        )

    key, audio = a_key(), os.urandom(size)
    async with (
        listening(cut_the_first) as endpoint,
        opened(servers, endpoint=endpoint) as unlucky,
    ):
        await put(unlucky, key, audio)
    assert connections == 3
    assert await got(store, key, 0, size) == audio


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65_536):
        writer.write(block)
        await writer.drain()
    writer.close()


async def test_slow_downloads_hold_no_connection(
    servers: EmbeddedServers, store: AudioStore
) -> None:
    key = a_key()
    await put(store, key, bytes(2_000_000))
    async with opened(servers, pool_size=2, timeout_s=5.0) as small, AsyncExitStack() as listeners:
        for _ in range(20):
            blocks = await listeners.enter_async_context(small.read(key, 0, 2_000_000))
            await anext(blocks)
        await put(small, a_key(), an_mp3())


async def test_connections_are_given_in_the_order_of_requests(
    servers: EmbeddedServers, store: AudioStore
) -> None:
    key = a_key()
    await put(store, key, bytes(10))
    async with opened(servers, pool_size=2) as small:
        done = [0] * 12

        async def listen(who: int) -> None:
            for _ in range(20):
                await got(small, key, 0, 10)
                done[who] += 1
                assert done[who] - min(done) <= 3

        await asyncio.gather(*map(listen, range(len(done))))


async def test_a_cancelled_put_leaves_its_connection_usable(
    servers: EmbeddedServers, store: AudioStore
) -> None:
    async with opened(servers, pool_size=1) as small:
        for delay_s in (0.0, 0.001, 0.003, 0.01):
            upload = asyncio.create_task(put(small, a_key(), bytes(3_000_000)))
            await asyncio.wait({upload}, timeout=delay_s)
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
        key = a_key()
        await put(small, key, an_mp3())
        assert await got(store, key, 0, len(an_mp3())) == an_mp3()


async def test_without_credentials_no_store_is_opened(
    servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(StorageUnavailable):
        async with opened(servers, credentials=NO_CREDENTIALS):
            pytest.fail("there is no store to use")
