"""Renditions in the database and the bucket: races, losses, and their removal by the keeper."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.pool import ConversionPool
from service.audio.keys import rendition_key
from service.audio.store import AudioStore
from service.domain.account import NO_QUOTAS, AccountFacts
from service.domain.audio_errors import AudioMissing
from service.domain.clock import utc_now
from service.domain.errors import StorageUnavailable
from service.domain.message import Audio, Message, MessageId
from service.domain.rendition import RenditionFormat
from service.postgres import messages as rows
from service.postgres.messages import MessageKey
from service.postgres.pool import Database
from service.usecases.renditions import Renditions
from service.workers.keeper import StepProgress
from service.workers.keeper.orphans import Orphans
from service.workers.keeper.purge import Purge
from tests.integration.test_verify import verified
from tests.support.audio_samples import an_mp3
from tests.support.builders import NOW, a_vmbox, an_account_row, some_audio, stored
from tests.support.keeper import in_days, key_of, keys_in, put, put_bytes

WAV = RenditionFormat.WAV


class Kept(msgspec.Struct, frozen=True):
    """A message with audio in the bucket."""

    account: AccountFacts
    place: MessageKey
    message: Message
    audio: Audio


@pytest_asyncio.fixture(loop_scope="session")
async def kept(owner: Database, bucket: AudioStore) -> Kept:
    account = await an_account_row(owner)
    async with owner.connection() as connection:
        box = await a_vmbox(connection, account.account_id)
        message_id = MessageId.generate(NOW, NOW)
        key = key_of(box.place(message_id))
        await put_bytes(bucket, key, an_mp3(), "audio/mpeg")
        digest = sha256(an_mp3()).digest()
        audio = some_audio(key=key, size=len(an_mp3()), sha256=digest)
        place = await stored(connection, box, id=message_id, audio=audio)
        return Kept(account, place, await rows.get_message(connection, place), audio)


@pytest_asyncio.fixture(loop_scope="session")
async def renditions(owner: Database, bucket: AudioStore) -> AsyncIterator[Renditions]:
    async with ConversionPool.open(ConversionLimits()) as pool:
        yield Renditions(owner, bucket, pool, utc_now, NO_QUOTAS)


async def made(renditions: Renditions, kept: Kept) -> Audio:
    return await renditions.of_message(kept.account, kept.message, kept.audio, WAV)


async def content_of(renditions: Renditions, audio: Audio) -> bytes:
    async with renditions.read(audio, 0, audio.size) as blocks:
        return b"".join([block async for block in blocks])


async def test_two_processes_that_make_the_same_rendition_leave_one(
    owner: Database, bucket: AudioStore, renditions: Renditions, kept: Kept
) -> None:
    async with ConversionPool.open(ConversionLimits()) as pool:
        other = Renditions(owner, bucket, pool, utc_now, NO_QUOTAS)
        first, second = await asyncio.gather(made(renditions, kept), made(other, kept))

    assert first == second
    assert await keys_in(bucket) == [kept.audio.key, first.key]
    assert sha256(await content_of(renditions, first)).digest() == first.sha256


async def test_a_rendition_without_its_object_is_made_again(
    bucket: AudioStore, renditions: Renditions, kept: Kept
) -> None:
    audio = await made(renditions, kept)
    await bucket.delete(audio.key)

    with pytest.raises(StorageUnavailable):
        await content_of(renditions, audio)
    again = await made(renditions, kept)

    assert again.key != audio.key
    assert again.sha256 == audio.sha256
    assert await content_of(renditions, again)


async def test_a_rendition_of_a_removed_message_is_discarded(
    owner: Database, bucket: AudioStore, renditions: Renditions, kept: Kept
) -> None:
    async with owner.connection() as connection:
        await rows.remove_message(connection, kept.place, reason="api")

    with pytest.raises(AudioMissing):
        await made(renditions, kept)

    assert await keys_in(bucket) == [kept.audio.key]


async def test_the_keeper_deletes_only_renditions_without_a_row_or_an_original(
    owner: Database, bucket: AudioStore, renditions: Renditions, kept: Kept
) -> None:
    audio = await made(renditions, kept)
    interrupted = rendition_key(kept.audio.key, WAV, uuid4())
    abandoned = rendition_key(key_of(kept.place), WAV, uuid4())
    await put(bucket, interrupted, abandoned)

    findings = await verified(owner, bucket)
    assert {item.key for item in findings.details} == {interrupted, abandoned}
    orphans = Orphans(owner, bucket, in_days(2), grace=timedelta(days=1))
    assert (await orphans.run(StepProgress()))["orphans_deleted"] == 2
    assert await keys_in(bucket) == [kept.audio.key, audio.key]

    async with owner.connection() as connection:
        await rows.remove_message(connection, kept.place, reason="api")
    purge = Purge(owner, bucket, in_days(8), grace=timedelta(days=7))
    assert (await purge.run(StepProgress()))["messages_purged"] == 1

    assert await keys_in(bucket) == []
    async with owner.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM renditions") == 0
