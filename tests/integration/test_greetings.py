"""Greetings under concurrency, and the step `orphans` of the keeper."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from service.audio.keys import greeting_key
from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.account import AccountFacts
from service.domain.errors import GreetingInUse, GreetingNotFound, Invalid, StorageUnavailable
from service.embedded.servers import EmbeddedServers
from service.postgres.pool import Database
from service.security import SecretBox
from service.usecases.greetings import Greetings
from service.usecases.uploads import Upload, Uploads
from service.usecases.vmboxes import Vmboxes
from service.workers.keeper import StepProgress
from service.workers.keeper.orphans import Orphans
from tests.support.accounts import a_key_ring
from tests.support.builders import NOW, an_account_row
from tests.support.keeper import in_days, keys_in, opened_bucket, put

GRACE = timedelta(hours=24)


@pytest_asyncio.fixture(loop_scope="session")
async def vmboxes(database: Database) -> Vmboxes:
    return Vmboxes(database, SecretBox(a_key_ring()), lambda: NOW)


@pytest_asyncio.fixture(loop_scope="session")
async def greetings(database: Database, bucket: AudioStore) -> Greetings:
    return Greetings(database, bucket, lambda: NOW, Uploads(8, 8, 1_000))


async def an_upload(stack: Spool, content: bytes = b"audio") -> Upload:
    await stack.write(content)
    return Upload(stack, "audio/mpeg")


async def a_greeting(greetings: Greetings, account: AccountFacts) -> UUID:
    with Spool(100) as spool:
        upload = await an_upload(spool)
        greeting = await greetings.create(account, {"name": "Away"}, upload)
    return greeting.media_id


async def referring(inspector: asyncpg.Connection) -> int:
    """Counts boxes with a missing greeting or without the reference to their greeting."""
    number: int = await inspector.fetchval(
        """
        SELECT count(*)
        FROM vmboxes AS v
        WHERE v.deleted_at IS NULL AND v.document -> 'media' ? 'unavailable' AND NOT EXISTS (
            SELECT FROM vmbox_media AS n JOIN media AS g USING (account_id, media_id)
            WHERE n.account_id = v.account_id AND n.vmbox_id = v.vmbox_id
                AND hex(g.media_id) = v.document #>> '{media,unavailable}'
        )
        """
    )
    return number


async def test_no_mailbox_uses_a_greeting_that_is_deleted_at_the_same_time(
    vmboxes: Vmboxes, greetings: Greetings, inspector: asyncpg.Connection
) -> None:
    account = await an_account_row(greetings.database)
    outcomes = {"deleted": 0, "kept": 0}

    async def race(number: int) -> None:
        media_id = await a_greeting(greetings, account)
        media = {"unavailable": media_id.hex}
        before = await vmboxes.create(account, {"name": "Old", "mailbox": f"1{number}"})

        async def create() -> bool:
            try:
                await vmboxes.create(
                    account, {"name": "Box", "mailbox": f"2{number}", "media": media}
                )
            except Invalid as error:
                (problem,) = error.problems
                assert (problem.field, problem.rule) == ("media.unavailable", "not_found")
                return False
            return True

        async def change() -> bool:
            try:
                await vmboxes.patch(account, before.vmbox_id, {"media": media})
            except Invalid:
                return False
            return True

        async def delete() -> bool:
            for _ in range(number % 5):
                await greetings.get(account, media_id)
            try:
                await greetings.delete(account, media_id)
            except GreetingInUse:
                return False
            return True

        named, changed, deleted = await asyncio.gather(create(), change(), delete())
        assert deleted != (named or changed)
        outcomes["deleted" if deleted else "kept"] += 1

    for start in range(0, 40, 8):
        await asyncio.gather(*(race(number) for number in range(start, start + 8)))
    assert min(outcomes.values()) > 0, outcomes
    assert await referring(inspector) == 0


async def test_one_of_many_deletions_succeeds_and_deletes_the_audio(
    greetings: Greetings, bucket: AudioStore
) -> None:
    account = await an_account_row(greetings.database)
    media_id = await a_greeting(greetings, account)

    async def delete() -> bool:
        try:
            await greetings.delete(account, media_id)
        except GreetingNotFound:
            return False
        return True

    assert sum(await asyncio.gather(*(delete() for _ in range(8)))) == 1
    assert await keys_in(bucket) == []


async def test_concurrent_changes_are_all_kept(greetings: Greetings) -> None:
    account = await an_account_row(greetings.database)
    media_id = await a_greeting(greetings, account)
    await asyncio.gather(
        *(greetings.patch(account, media_id, {f"key{number}": number}) for number in range(4))
    )
    greeting = await greetings.get(account, media_id)
    assert [greeting.document[f"key{number}"] for number in range(4)] == [0, 1, 2, 3]


async def test_one_of_many_concurrent_uploads_remains(
    greetings: Greetings, bucket: AudioStore
) -> None:
    account = await an_account_row(greetings.database)
    media_id = await a_greeting(greetings, account)

    async def attach(number: int) -> None:
        with Spool(100) as spool:
            upload = await an_upload(spool, b"%d" % number)
            await greetings.attach_audio(account, media_id, upload)

    await asyncio.gather(*(attach(number) for number in range(8)))
    greeting = await greetings.get(account, media_id)
    assert greeting.audio
    assert await keys_in(bucket) == [greeting.audio.key]


async def test_without_the_audio_store_no_greeting_is_created(
    database: Database, servers: EmbeddedServers
) -> None:
    account = await an_account_row(database)
    async with opened_bucket(servers, endpoint="http://127.0.0.1:1", timeout_s=1) as nowhere:
        lame = Greetings(database, nowhere, lambda: NOW, Uploads(8, 8, 1_000))
        with pytest.raises(StorageUnavailable):
            await a_greeting(lame, account)
        assert (await lame.list(account, None, 10)).items == []
        # A row that goes first needs no store: its object is left to the sweep.
        silent = await lame.create(account, {"name": "Silent"}, None)
        await lame.delete(account, silent.media_id)


@pytest_asyncio.fixture(loop_scope="session")
async def orphans(owner: Database, bucket: AudioStore) -> AsyncIterator[Orphans]:
    yield Orphans(owner, bucket, in_days(2), GRACE, batch=3)


async def test_the_orphan_sweep_deletes_audio_without_a_greeting(
    greetings: Greetings, orphans: Orphans, bucket: AudioStore
) -> None:
    account = await an_account_row(greetings.database)
    kept = [await a_greeting(greetings, account) for _ in range(3)]
    living = await keys_in(bucket)
    strange = ["media/readme.txt", f"media/{uuid4().hex}/x.mp3"]
    lost = [
        greeting_key(account.account_id, kept[0], uuid4(), "mp3"),
        greeting_key(uuid4(), kept[1], uuid4(), "wav"),
        greeting_key(account.account_id, uuid4(), uuid4(), "bin"),
    ]
    await put(bucket, *lost, *strange)
    young = Orphans(orphans.database, bucket, in_days(0), GRACE)
    assert (await young.run(StepProgress()))["orphans_deleted"] == 0
    done = await orphans.run(StepProgress())
    assert (done["objects_listed"], done["orphans_deleted"]) == (8, 3)
    assert await keys_in(bucket) == sorted([*living, *strange])
