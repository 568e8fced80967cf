import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from service.audio.spool import Spool
from service.audio.store import READ_BLOCK_BYTES, AudioStore, message_key
from service.domain.errors import AudioMissing, StorageUnavailable
from service.embedded.servers import EmbeddedServers
from tests.support.sounds import an_mp3

Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Operation = Callable[[AudioStore], Awaitable[object]]


@asynccontextmanager
async def opened(
    servers: EmbeddedServers,
    *,
    endpoint: str | None = None,
    credentials: dict[str, str] | None = None,
    bucket: str = "audio-tests",
    pool_size: int = 16,
    timeout_s: float = 10.0,
    sse: str | None = None,
    sse_kms_key_id: str | None = None,
) -> AsyncIterator[AudioStore]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (servers.environment() | (credentials or {})).items():
            environment.setenv(name, value)
        async with AudioStore.open(
            endpoint=endpoint or servers.s3.endpoint(),
            bucket=bucket,
            region="us-east-1",
            addressing_style="path",
            sse=sse,
            sse_kms_key_id=sse_kms_key_id,
            pool_size=pool_size,
            connect_timeout_s=1.0,
            timeout_s=timeout_s,
        ) as store:
            yield store


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    async with opened(servers) as ready:
        await ready.ensure_bucket()
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient(servers: EmbeddedServers, store: AudioStore) -> AsyncIterator[AudioStore]:
    """The same objects as `store`, with a third of a second for each operation."""
    await store.ping()
    async with opened(servers, timeout_s=0.3) as ready:
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stranger(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    async with opened(servers, credentials={"AWS_SECRET_ACCESS_KEY": "sesame-sesame"}) as ready:
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nowhere(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    """A store whose address has no server."""
    async with opened(servers, endpoint="http://127.0.0.1:9", timeout_s=0.6) as ready:
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cut_off(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    """A store that resets every connection once it was asked something."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.transport.abort()

    async with (
        listening(reset) as endpoint,
        opened(servers, endpoint=endpoint, timeout_s=0.6) as ready,
    ):
        yield ready


@asynccontextmanager
async def listening(connection: Connection) -> AsyncIterator[str]:
    """A server on loopback that treats each connection so; gives its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await connection(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def a_key() -> str:
    return f"tests/{uuid4().hex}.mp3"


async def put(store: AudioStore, key: str, audio: bytes) -> None:
    with Spool(8_000_000) as spool:
        for start in range(0, len(audio), 65_536):
            await spool.write(audio[start : start + 65_536])
        await store.put(key, spool, "audio/mpeg")


async def got(store: AudioStore, key: str, start: int, length: int) -> bytes:
    async with store.read(key, start, length) as blocks:
        return b"".join([block async for block in blocks])


async def listed(store: AudioStore, prefix: str) -> list[str]:
    return [found.key async for found in store.list(prefix)]


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


@pytest.mark.parametrize("size", [1, 65_536, READ_BLOCK_BYTES, 1_048_577, 8_000_000])
async def test_audio_comes_back_as_it_was_put(store: AudioStore, size: int) -> None:
    key, audio = a_key(), os.urandom(size)
    await put(store, key, audio)
    assert await got(store, key, 0, size) == audio


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (5, 10), (599_999, 1), (100, 599_900), (262_143, 2)]
)
async def test_a_range_gives_just_these_bytes(store: AudioStore, start: int, length: int) -> None:
    key, audio = a_key(), os.urandom(600_000)
    await put(store, key, audio)
    assert await got(store, key, start, length) == audio[start : start + length]


async def test_missing_audio_shows_before_the_first_byte_is_asked_for(store: AudioStore) -> None:
    with pytest.raises(AudioMissing):
        async with store.read(a_key(), 0, 10):
            pytest.fail("the context must not be entered")


async def test_a_range_beyond_the_end_is_missing_audio(store: AudioStore) -> None:
    key = a_key()
    await put(store, key, b"short")
    with pytest.raises(AudioMissing):
        await got(store, key, 5, 1)


async def test_audio_that_is_shorter_than_it_should_be_is_not_passed_off_as_whole(
    store: AudioStore,
) -> None:
    key = a_key()
    await put(store, key, b"short")
    with pytest.raises(StorageUnavailable):
        await got(store, key, 0, 10)


async def test_a_copy_outlives_its_source(store: AudioStore) -> None:
    source, target = a_key(), a_key()
    await put(store, source, an_mp3())
    await store.copy(source, target)
    await store.delete(source)
    assert await got(store, target, 0, len(an_mp3())) == an_mp3()
    with pytest.raises(AudioMissing):
        await store.copy(source, a_key())


async def test_audio_that_the_store_encrypts_comes_back_in_clear(
    servers: EmbeddedServers, store: AudioStore
) -> None:
    source, target = a_key(), a_key()
    async with opened(servers, sse="AES256") as encrypting:
        await put(encrypting, source, an_mp3())
        await encrypting.copy(source, target)
    for key in (source, target):
        assert await got(store, key, 5, 100) == an_mp3()[5:105]


@pytest.mark.parametrize("size", [1_000, 2_000_000])
async def test_a_put_is_one_plain_request_with_its_length_hash_and_encryption(
    servers: EmbeddedServers, size: int
) -> None:
    heads: list[str] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with (
        listening(take) as endpoint,
        opened(servers, endpoint=endpoint, sse="aws:kms", sse_kms_key_id="the-key") as store,
    ):
        await put(store, "tests/any", bytes(size))
    (head,) = heads
    assert head.startswith("put /audio-tests/tests/any http/1.1")
    assert f"content-length: {size}\r\n" in head
    assert "content-type: audio/mpeg\r\n" in head
    assert f"x-amz-content-sha256: {hashlib.sha256(bytes(size)).hexdigest()}\r\n" in head
    assert "x-amz-server-side-encryption: aws:kms\r\n" in head
    assert "x-amz-server-side-encryption-aws-kms-key-id: the-key\r\n" in head
    assert "expect:" not in head
    assert "chunked" not in head


async def test_deleting_twice_is_no_error(store: AudioStore) -> None:
    key = a_key()
    await put(store, key, b"audio")
    await store.delete(key)
    await store.delete(key)
    assert await listed(store, key) == []


async def test_a_listing_goes_on_over_its_pages(store: AudioStore) -> None:
    prefix = f"tests/{uuid4().hex}/"
    keys = [f"{prefix}{number:04}" for number in range(1010)]
    for start in range(0, len(keys), 16):
        await asyncio.gather(*(put(store, key, b"audio") for key in keys[start : start + 16]))
    found = [item async for item in store.list(prefix)]
    assert [item.key for item in found] == keys
    assert {item.size for item in found} == {5}
    assert abs(found[0].modified.timestamp() - time.time()) < 60
    await store.delete_many(keys)
    assert await listed(store, prefix) == []


async def test_processes_that_start_together_make_one_bucket(servers: EmbeddedServers) -> None:
    async with opened(servers, bucket=f"together-{uuid4().hex[:8]}") as store:
        await asyncio.gather(*(store.ensure_bucket() for _ in range(4)))
        await store.ping()
        await put(store, a_key(), an_mp3())


async def test_a_bucket_that_is_not_there_does_not_answer_a_ping(servers: EmbeddedServers) -> None:
    async with opened(servers, bucket=f"missing-{uuid4().hex[:8]}") as store:
        with pytest.raises(StorageUnavailable):
            await store.ping()


@each_operation
async def test_wrong_credentials_are_unavailable_storage_and_stay_secret(
    stranger: AudioStore, operation: Operation
) -> None:
    with pytest.raises(StorageUnavailable, check=lambda e: "sesame" not in repr(e)) as caught:
        await operation(stranger)
    assert "403" in caught.value.reason


@each_operation
async def test_a_refused_connection_is_unavailable_storage(
    nowhere: AudioStore, operation: Operation
) -> None:
    with pytest.raises(StorageUnavailable):
        await operation(nowhere)


@each_operation
async def test_a_reset_connection_is_unavailable_storage(
    cut_off: AudioStore, operation: Operation
) -> None:
    with pytest.raises(StorageUnavailable):
        await operation(cut_off)


@each_operation
async def test_a_stalled_store_holds_nobody_longer_than_the_timeout(
    servers: EmbeddedServers, impatient: AudioStore, operation: Operation
) -> None:
    servers.s3.suspend()
    started = time.monotonic()
    try:
        with pytest.raises(StorageUnavailable):
            await operation(impatient)
    finally:
        servers.s3.resume()
    # Far above the timeout, for busy machines, and far below for ever.
    assert time.monotonic() - started < 10.0


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


async def test_a_busy_store_is_asked_three_times_and_no_more(servers: EmbeddedServers) -> None:
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
    assert caught.value.reason == "DELETE answered 503 SlowDown"
    assert requests == 3


@pytest.mark.parametrize("size", [65_536, 2_000_000])
async def test_a_put_whose_connection_is_cut_once_succeeds(
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


async def test_slow_listeners_leave_the_connections_to_others(
    servers: EmbeddedServers, store: AudioStore
) -> None:
    key = a_key()
    await put(store, key, bytes(2_000_000))
    async with opened(servers, pool_size=2, timeout_s=5.0) as small, AsyncExitStack() as listeners:
        for _ in range(20):
            blocks = await listeners.enter_async_context(small.read(key, 0, 2_000_000))
            await anext(blocks)
        await put(small, a_key(), an_mp3())


async def test_who_waits_for_a_connection_gets_it_in_turn(
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


async def test_a_put_that_is_given_up_leaves_its_connection_usable(
    servers: EmbeddedServers, store: AudioStore
) -> None:
    async with opened(servers, pool_size=1) as small:
        for delay_s in (0.0, 0.001, 0.003, 0.01):
            upload = asyncio.create_task(put(small, a_key(), bytes(3_000_000)))
            await asyncio.sleep(delay_s)
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


def test_a_message_key_names_month_account_message_and_upload() -> None:
    account, message, upload = UUID(int=1), UUID(int=2), UUID(int=3)
    assert message_key(202611, account, message, upload, "mp3") == (
        f"audio/202611/{account.hex}/{message.hex}/{upload.hex}.mp3"
    )
