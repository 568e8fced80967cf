"""Audio store: stored audio can be read, in whole or in part, copied and deleted."""

import asyncio
import hashlib
import os
import time
from uuid import UUID, uuid4

import pytest

from service.audio.keys import message_key
from service.audio.store import READ_BLOCK_BYTES, AudioStore
from service.domain.audio_errors import AudioMissing
from service.domain.errors import StorageUnavailable
from service.embedded.servers import EmbeddedServers
from tests.support.audio_samples import an_mp3
from tests.support.audio_stores import a_key, got, listed, listening, opened, put


@pytest.mark.parametrize("size", [1, 65_536, READ_BLOCK_BYTES, 1_048_577, 8_000_000])
async def test_audio_is_read_as_it_was_stored(store: AudioStore, size: int) -> None:
    key, audio = a_key(), os.urandom(size)
    await put(store, key, audio)
    assert await got(store, key, 0, size) == audio


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (5, 10), (599_999, 1), (100, 599_900), (262_143, 2)]
)
async def test_a_range_returns_exactly_its_bytes(
    store: AudioStore, start: int, length: int
) -> None:
    key, audio = a_key(), os.urandom(600_000)
    await put(store, key, audio)
    assert await got(store, key, start, length) == audio[start : start + length]


async def test_missing_audio_is_detected_before_the_first_byte(store: AudioStore) -> None:
    with pytest.raises(AudioMissing):
        async with store.read(a_key(), 0, 10):
            pytest.fail("the context must not be entered")


async def test_a_range_beyond_the_end_is_missing_audio(store: AudioStore) -> None:
    key = a_key()
    await put(store, key, b"short")
    with pytest.raises(AudioMissing):
        await got(store, key, 5, 1)


async def test_truncated_audio_is_an_error(
    store: AudioStore,
) -> None:
    key = a_key()
    await put(store, key, b"short")
    with pytest.raises(StorageUnavailable):
        await got(store, key, 0, 10)


async def test_recently_stored_audio_is_read_without_the_store(
    servers: EmbeddedServers, store: AudioStore
) -> None:
    small, large, huge = os.urandom(70_000), os.urandom(2_000_000), os.urandom(3_000_000)
    keys = [a_key() for _ in range(4)]
    async with opened(servers, cache_bytes=20_000_000) as cached:
        for key, audio in zip(keys, (small, large, huge, small), strict=True):
            await put(cached, key, audio)
        await store.delete_many(keys[:3])
        assert await got(cached, keys[0], 0, 70_000) == small
        assert await got(cached, keys[1], 1_000_000, 1_000_000) == large[1_000_000:]
        for key, start, length in ((keys[2], 0, 10), (keys[0], 70_000, 1), (a_key(), 0, 1)):
            with pytest.raises(AudioMissing):
                await got(cached, key, start, length)
        await cached.delete(keys[3])
        with pytest.raises(AudioMissing):
            await got(cached, keys[3], 0, 1)


async def test_a_copy_remains_when_its_source_is_deleted(store: AudioStore) -> None:
    source, target = a_key(), a_key()
    await put(store, source, an_mp3())
    await store.copy(source, target)
    await store.delete(source)
    assert await got(store, target, 0, len(an_mp3())) == an_mp3()
    with pytest.raises(AudioMissing):
        await store.copy(source, a_key())


async def test_encrypted_audio_is_read_decrypted(
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


async def test_deleting_twice_is_not_an_error(store: AudioStore) -> None:
    key = a_key()
    await put(store, key, b"audio")
    await store.delete(key)
    await store.delete(key)
    assert await listed(store, key) == []


async def test_a_listing_continues_over_its_pages(store: AudioStore) -> None:
    prefix = f"tests/{uuid4().hex}/"
    keys = [f"{prefix}{number:04}" for number in range(1010)]
    for start in range(0, len(keys), 16):
        await asyncio.gather(*(put(store, key, b"audio") for key in keys[start : start + 16]))
    results = [item async for item in store.list(prefix)]
    assert [item.key for item in results] == keys
    assert {item.size for item in results} == {5}
    assert abs(results[0].modified.timestamp() - time.time()) < 60
    await store.delete_many(keys)
    assert await listed(store, prefix) == []


async def test_processes_that_start_together_create_one_bucket(servers: EmbeddedServers) -> None:
    async with opened(servers, bucket=f"together-{uuid4().hex[:8]}") as store:
        await asyncio.gather(*(store.ensure_bucket() for _ in range(4)))
        await store.ping()
        await put(store, a_key(), an_mp3())


async def test_a_ping_fails_for_a_missing_bucket(servers: EmbeddedServers) -> None:
    async with opened(servers, bucket=f"missing-{uuid4().hex[:8]}") as store:
        with pytest.raises(StorageUnavailable):
            await store.ping()


def test_a_message_key_contains_month_account_message_and_upload() -> None:
    account, message, upload = UUID(int=1), UUID(int=2), UUID(int=3)
    assert message_key(202611, account, message, upload, "mp3") == (
        f"audio/202611/{account.hex}/{message.hex}/{upload.hex}.mp3"
    )
