"""Forwarding while the store fails, and the audio that comment and message become."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import pytest
import pytest_asyncio

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.operations import Converted, Join
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.audio.store import AudioStore
from service.domain.account import AccountFacts
from service.domain.audio_errors import AudioUnreadable
from service.domain.batch import BatchResult, Reason
from service.domain.errors import StorageUnavailable
from service.domain.message import Folder, MessageId
from service.domain.rendition import RenditionFormat
from service.postgres.messages import MessageKey, remove_message
from service.postgres.pool import Database
from service.usecases.forwards import ForwardRequest, Forwards
from service.usecases.idempotency import Idempotency
from service.usecases.messages import Messages
from service.usecases.retention import RetentionLookup
from service.usecases.uploads import Uploads
from tests.support.audio_samples import MEDIARECORDER_WEBM, a_mu_law_wav, a_wav, an_mp3
from tests.support.builders import NOW, Box, a_vmbox, an_account, audit, some_audio, stored
from tests.support.conversion import file_of
from tests.support.keeper import keys_in, put


@dataclass
class Interrupted:
    """Audio store that calls `interrupt` before the copy of this number."""

    store: AudioStore
    number: int
    interrupt: Callable[[], Awaitable[None]]
    copies: int = 0

    async def copy(self, source: str, target: str) -> None:
        self.copies += 1
        if self.copies == self.number:
            await self.interrupt()
        await self.store.copy(source, target)

    async def delete(self, key: str) -> None:
        await self.store.delete(key)


@dataclass
class Forwarding:
    """A message, the boxes that get it, and the use case."""

    forwards: Forwards
    account: AccountFacts
    place: MessageKey
    targets: list[Box]

    async def run(self, key: str | None = None) -> BatchResult:
        request = ForwardRequest(targets=[box.vmbox_id.hex for box in self.targets])
        return await self.forwards.forward(
            self.account, self.place.vmbox_id, self.place.message_id, request, key
        )


@pytest_asyncio.fixture(loop_scope="session")
async def pool() -> AsyncIterator[ConversionPool]:
    async with ConversionPool.open(ConversionLimits(processes=1)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def forwarding(database: Database, bucket: AudioStore, pool: ConversionPool) -> Forwarding:
    """The store fails at the second copy."""

    async def fail() -> None:
        raise StorageUnavailable

    store = cast(AudioStore, Interrupted(bucket, 2, fail))
    return await a_forwarding(database, bucket, pool, store)


async def a_forwarding(
    database: Database, bucket: AudioStore, pool: ConversionPool, store: AudioStore
) -> Forwarding:
    account = an_account()
    async with database.connection() as connection:
        source, *targets = [await a_vmbox(connection, account.account_id) for _ in range(4)]
        audio = some_audio()
        await put(bucket, audio.key)
        place = await stored(connection, source, audio=audio)
    messages = Messages(
        database,
        store,
        Idempotency(database),
        lambda: NOW,
        RetentionLookup(database),
        None,
        Uploads(8, 8, 1_000),
    )
    return Forwarding(Forwards(database, messages, pool), account, place, targets)


async def folder_of(forwarding: Forwarding) -> Folder:
    place = forwarding.place
    message = await forwarding.forwards.messages.get(
        forwarding.account, place.vmbox_id, place.message_id
    )
    return message.folder


async def ids_in(database: Database, boxes: list[Box]) -> list[MessageId]:
    query = "SELECT month, id FROM messages WHERE vmbox_id = ANY($1)"
    async with database.connection() as connection:
        rows = await connection.fetch(query, [box.vmbox_id for box in boxes])
    return [MessageId(row["month"], row["id"]) for row in rows]


async def test_a_repeated_request_with_a_key_continues_after_an_outage(
    forwarding: Forwarding, database: Database, bucket: AudioStore
) -> None:
    with pytest.raises(StorageUnavailable):
        await forwarding.run("key")
    assert len(await ids_in(database, forwarding.targets)) == 1
    assert await folder_of(forwarding) is Folder.NEW

    result = await forwarding.run("key")

    assert result.failed == []
    assert sorted(await ids_in(database, forwarding.targets)) == sorted(result.succeeded)
    assert await folder_of(forwarding) is Folder.SAVED
    # The original, and one object per target.
    assert len(await keys_in(bucket)) == 4
    assert await forwarding.run("key") == result
    async with database.connection() as connection:
        for box in forwarding.targets:
            created, new = await audit(connection, box)
            assert (created.sequence, new.counts) == (1, (1, 0))
            assert new.data["origin"]["media_id"] == str(forwarding.place.message_id)


async def test_a_repeated_request_ends_if_the_message_was_removed_after_an_outage(
    forwarding: Forwarding, database: Database
) -> None:
    with pytest.raises(StorageUnavailable):
        await forwarding.run("key")
    async with database.connection() as connection:
        await remove_message(connection, forwarding.place, reason="api")

    result = await forwarding.run("key")

    assert result.succeeded == await ids_in(database, forwarding.targets)
    assert [reason for _, reason in result.failed] == [Reason.CONFLICT] * 2
    assert await forwarding.run("key") == result


async def test_without_a_key_an_outage_is_the_reason_of_the_remaining_boxes(
    forwarding: Forwarding, database: Database
) -> None:
    result = await forwarding.run()

    assert len(result.succeeded) == 1
    assert [reason for _, reason in result.failed] == [Reason.UNAVAILABLE] * 2
    assert await ids_in(database, forwarding.targets) == result.succeeded


async def joined(pool: ConversionPool, target: RenditionFormat, *parts: bytes) -> Converted:
    files = [file_of(part) for part in parts]
    inputs = [AudioInput(file, "application/octet-stream") for file in files]
    try:
        with file_of() as output:
            return await pool.run(Join(format=target), inputs, output, owner="account")
    finally:
        for file in files:
            file.close()


async def test_joined_audio_has_the_length_of_its_parts(pool: ConversionPool) -> None:
    parts = (a_mu_law_wav(0.5), MEDIARECORDER_WEBM.read_bytes(), an_mp3(), a_wav(0.25, 44_100))
    lengths = [(await joined(pool, RenditionFormat.WAV, part)).length_ms for part in parts]
    for target in RenditionFormat:
        result = await joined(pool, target, *parts)
        assert abs(result.length_ms - sum(lengths)) <= 50


async def test_parts_are_not_joined_if_one_has_no_audio(pool: ConversionPool) -> None:
    for parts in ((a_wav(), b"text"), (b"text", a_wav()), (a_wav(), a_wav()[:44])):
        with pytest.raises(AudioUnreadable):
            await joined(pool, RenditionFormat.MP3, *parts)


async def test_a_message_that_is_removed_meanwhile_is_not_forwarded(
    database: Database, bucket: AudioStore, pool: ConversionPool
) -> None:
    async def remove() -> None:
        async with database.connection() as connection:
            await remove_message(connection, removed.place, reason="api")

    store = cast(AudioStore, Interrupted(bucket, 1, remove))
    removed = await a_forwarding(database, bucket, pool, store)
    before = await keys_in(bucket)

    result = await removed.run()

    assert [reason for _, reason in result.failed] == [Reason.CONFLICT] * 3
    assert await keys_in(bucket) == before
    assert await ids_in(database, removed.targets) == []
