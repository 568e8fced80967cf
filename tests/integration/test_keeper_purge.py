"""Purge and deletion of orphans: rows before objects, and nothing that is in use."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from service.audio.store import AudioStore
from service.domain.errors import StorageUnavailable
from service.domain.message import Folder, MessageId, month_of
from service.domain.recipient import Consent
from service.embedded.servers import EmbeddedServers
from service.postgres import mail
from service.postgres import messages as rows
from service.postgres.keeper import BoxKey, empty_box, purge_messages
from service.postgres.messages import MessageKey
from service.postgres.months import ensure_month
from service.postgres.pool import Connection, Database
from service.postgres.vmbox_trash import begin_purge
from service.postgres.vmboxes import delete_vmbox
from service.workers.keeper import StepProgress
from service.workers.keeper.expiry import Expiry
from service.workers.keeper.orphans import Orphans
from service.workers.keeper.purge import Purge
from tests.support.accounts import a_child, a_key_ring, a_root, accounts_over
from tests.support.builders import (
    NOW,
    RETAINED_SINCE,
    Box,
    a_vmbox,
    an_account_row,
    some_audio,
    stored,
)
from tests.support.keeper import (
    Killed,
    KilledAfter,
    a_key,
    at,
    in_days,
    key_of,
    keys_in,
    opened_bucket,
    put,
)
from tests.support.waiting import wait_until

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


def purge(owner: Database, store: AudioStore, days: float = 8, batch: int = 500) -> Purge:
    return Purge(owner, store, in_days(days), grace=WEEK, batch=batch)


def sweep(owner: Database, store: AudioStore, days: float = 2) -> Orphans:
    return Orphans(owner, store, in_days(days), grace=DAY)


async def kept(
    connection: Connection, store: AudioStore, box: Box, received_at: datetime = NOW
) -> tuple[MessageKey, str]:
    """Stores a message with audio."""
    message_id = MessageId.generate(received_at, NOW)
    key = key_of(box.place(message_id))
    await put(store, key)
    audio = some_audio(key=key)
    place = await stored(connection, box, id=message_id, received_at=received_at, audio=audio)
    return place, key


async def removed(connection: Connection, place: MessageKey) -> None:
    await rows.remove_message(connection, place, reason="api")


async def count(connection: Connection, table: str) -> int:
    number: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
    return number


async def test_messages_removed_a_week_ago_are_purged_with_their_audio(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        pairs = [await kept(connection, bucket, box) for _ in range(4)]
        for place, _ in pairs[:2]:
            await removed(connection, place)
        await removed(connection, await stored(connection, box, audio=None))
    assert not any((await purge(owner, bucket, days=6.9).run(StepProgress())).values())
    done = await purge(owner, bucket, days=7.1, batch=2).run(StepProgress())
    assert done == {"messages_purged": 3, "boxes_purged": 0, "recipients_purged": 0}
    assert await keys_in(bucket) == sorted(key for _, key in pairs[2:])
    left = await inspector.fetch("SELECT id FROM messages")
    assert {row["id"] for row in left} == {place.message_id.id for place, _ in pairs[2:]}
    assert await count(inspector, "vmboxes") == 1


async def test_a_deleted_box_is_purged_after_its_messages(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box, neighbour = await a_vmbox(connection), await a_vmbox(connection)
        await kept(connection, bucket, box)
        place, key = await kept(connection, bucket, neighbour)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
    # Its messages were not removed yet: the expiry removes them after the grace.
    assert not any((await purge(owner, bucket).run(StepProgress())).values())
    await Expiry(owner, in_days(6.5), retention_days=30).run(StepProgress())
    assert not any((await purge(owner, bucket).run(StepProgress())).values())
    await Expiry(owner, in_days(7.5), retention_days=30).run(StepProgress())
    assert not any((await purge(owner, bucket, days=6).run(StepProgress())).values())
    done = await purge(owner, bucket).run(StepProgress())
    assert done == {"messages_purged": 1, "boxes_purged": 1, "recipients_purged": 0}
    for table in ("vmboxes", "vmbox_counts"):
        left = await inspector.fetch(f"SELECT vmbox_id FROM {table}")  # noqa: S608
        assert [row["vmbox_id"] for row in left] == [neighbour.vmbox_id]
    assert await keys_in(bucket) == [key]
    await rows.get_message(inspector, place)


@pytest.mark.parametrize("is_partly_emptied", [False, True])
async def test_an_interrupted_purge_of_a_deleted_box_is_completed_by_the_keeper(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection, is_partly_emptied: bool
) -> None:
    async with owner.connection() as connection:
        box, other = await a_vmbox(connection), await a_vmbox(connection)
        for _ in range(3):
            await kept(connection, bucket, box)
        _, key = await kept(connection, bucket, other)
        for each in (box, other):
            await delete_vmbox(connection, each.account_id, each.vmbox_id)
        assert await begin_purge(connection, box.account_id, None, 10) == [box.vmbox_id]
        if is_partly_emptied:
            assert await empty_box(connection, BoxKey(box.account_id, box.vmbox_id), NOW, 2) == 2
    await Expiry(owner, in_days(0), retention_days=30).run(StepProgress())
    done = await purge(owner, bucket, days=0).run(StepProgress())
    assert done == {"messages_purged": 3, "boxes_purged": 1, "recipients_purged": 0}
    left = await inspector.fetch("SELECT vmbox_id FROM vmboxes")
    assert [row["vmbox_id"] for row in left] == [other.vmbox_id]
    assert await keys_in(bucket) == [key]


async def test_messages_are_purged_after_the_trash_days_of_their_account(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    places = {}
    for days in (None, 2, 30):
        account = await an_account_row(owner)
        document = {} if days is None else {"trash_days": days}
        async with owner.connection() as connection:
            await connection.execute(
                "UPDATE accounts SET document = $2 WHERE account_id = $1",
                account.account_id,
                document,
            )
            box = await a_vmbox(connection, account.account_id)
            for _ in range(3):
                places[days], _ = await kept(connection, bucket, box)
                await removed(connection, places[days])
    for days, purged, left in (
        (1, 0, {None, 2, 30}),
        (3, 3, {None, 30}),
        (8, 3, {30}),
        (31, 3, {}),
    ):
        done = await purge(owner, bucket, days=days, batch=2).run(StepProgress())
        assert done["messages_purged"] == purged, days
        found = {row["account_id"] for row in await inspector.fetch("SELECT * FROM messages")}
        assert found == {places[name].account_id for name in left}, days
    assert await keys_in(bucket) == []


async def test_a_box_is_purged_only_after_its_last_message(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
        await Expiry(owner, in_days(7.5), retention_days=30).run(StepProgress())
        # A purge that was cut short after this box's neighbours: the message is still there.
        assert await count(connection, "messages") == 1
    async with inspector.transaction():
        await inspector.execute("SELECT FROM messages FOR UPDATE")
        done = await purge(owner, bucket).run(StepProgress())
    assert done == {"messages_purged": 0, "boxes_purged": 0, "recipients_purged": 0}
    assert await purge(owner, bucket).run(StepProgress()) == {
        "messages_purged": 1,
        "boxes_purged": 1,
        "recipients_purged": 0,
    }


async def test_mail_data_of_a_deleted_account_is_purged(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    accounts = accounts_over(owner, a_key_ring())
    root = await a_root(accounts)
    kept, *deleted = [await a_child(accounts, root, name) for name in ("kept", "first", "second")]
    for account in deleted:
        await accounts.delete(root, account.account_id)
    # Answers to mails also arrive after the deletion.
    for account in (kept, *deleted):
        await mail.reserve_mail(inspector, account.account_id, 36)
        for name in ("ann", "bob", "eve"):
            address = f"{name}@example.com"
            await mail.set_consent(inspector, account.account_id, address, Consent.UNSUBSCRIBED)
    assert not any((await purge(owner, bucket, days=6).run(StepProgress())).values())
    done = await purge(owner, bucket, batch=1).run(StepProgress())
    assert done == {"messages_purged": 0, "boxes_purged": 0, "recipients_purged": 6}
    for table in ("mail_recipients", "mail_rates"):
        left = await inspector.fetch(f"SELECT DISTINCT account_id FROM {table}")  # noqa: S608
        assert [row["account_id"] for row in left] == [kept.account_id]


async def test_a_purge_killed_between_batches_is_continued(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        for _ in range(6):
            place, _ = await kept(connection, bucket, box)
            await removed(connection, place)
    with pytest.raises(Killed):
        await purge(owner, bucket, batch=2).run(KilledAfter(2))
    assert (await count(inspector, "messages"), len(await keys_in(bucket))) == (2, 2)
    assert (await purge(owner, bucket).run(StepProgress()))["messages_purged"] == 2
    assert await keys_in(bucket) == []


async def test_objects_of_a_purge_killed_between_row_and_object_are_deleted_as_orphans(
    owner: Database, bucket: AudioStore
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        place, _ = await kept(connection, bucket, box)
        await removed(connection, place)
        # The first half of a batch.
        keys = await purge_messages(
            connection, place.message_id.month, datetime.now(UTC) + WEEK, 500
        )
    assert [purged.audio_key for purged in keys] == await keys_in(bucket)
    assert (await purge(owner, bucket).run(StepProgress()))["messages_purged"] == 0
    assert (await sweep(owner, bucket).run(StepProgress()))["orphans_deleted"] == 1
    assert await keys_in(bucket) == []


async def test_without_the_store_no_row_is_purged(
    owner: Database, servers: EmbeddedServers, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        place = await stored(connection, await a_vmbox(connection))
        await removed(connection, place)
    async with opened_bucket(servers, endpoint="http://127.0.0.1:9", timeout_s=0.6) as away:
        with pytest.raises(StorageUnavailable):
            await purge(owner, away).run(StepProgress())
        with pytest.raises(StorageUnavailable):
            await sweep(owner, away).run(StepProgress())
    assert await count(inspector, "messages") == 1


async def test_two_purges_at_once_delete_each_row_once(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        for _ in range(60):
            await removed(connection, await stored(connection, box, audio=some_audio(key=a_key())))
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
    await Expiry(owner, in_days(7.5), retention_days=30).run(StepProgress())
    done = await asyncio.gather(
        *(purge(owner, bucket, batch=7).run(StepProgress()) for _ in range(2))
    )
    assert sum(counts["messages_purged"] for counts in done) == 60
    # One that met rows in the other's hands leaves them, and the box, to it.
    await purge(owner, bucket).run(StepProgress())
    assert await count(inspector, "messages") == await count(inspector, "vmbox_counts") == 0


async def test_the_sweep_deletes_only_old_objects_without_a_row(
    owner: Database, bucket: AudioStore
) -> None:
    last_year = NOW - timedelta(days=400)
    async with owner.connection() as connection:
        await ensure_month(connection, month_of(last_year))
        box = await a_vmbox(connection)
        place, key = await kept(connection, bucket, box)
        gone, gone_key = await kept(connection, bucket, box)
        await removed(connection, gone)
        _, old_key = await kept(connection, bucket, box, last_year)
    others = ["other/0123/greeting.mp3", "audio/notes.txt", f"audio/2026/{a_key()[13:]}"]
    # Another upload of a message is as much an orphan as one of no message.
    orphans = [key_of(place), key_of(gone), a_key(), a_key(last_year), a_key(NOW + 200 * DAY)]
    await put(bucket, *others, *orphans)
    done = await sweep(owner, bucket, days=0.9).run(StepProgress())
    assert done == {"objects_listed": 10, "orphans_deleted": 0}
    done = await sweep(owner, bucket).run(StepProgress())
    assert done == {"objects_listed": 10, "orphans_deleted": 5}
    assert await keys_in(bucket) == sorted([key, gone_key, old_key, *others])


async def stored_at(store: AudioStore, key: str) -> datetime:
    [item] = [item async for item in store.list(key)]
    return item.modified


async def test_the_age_of_an_object_is_that_in_the_store(
    owner: Database, bucket: AudioStore
) -> None:
    old, young = a_key(), a_key()
    await put(bucket, old)
    between = (await stored_at(bucket, old)) + timedelta(seconds=1)

    async def is_younger() -> bool:
        await put(bucket, young)
        return await stored_at(bucket, young) > between

    # The store keeps whole seconds.
    await wait_until(is_younger, every_s=0.2)
    await Orphans(owner, bucket, at(between + DAY), grace=DAY).run(StepProgress())
    assert await keys_in(bucket) == [young]


async def test_audio_replaced_during_an_outage_of_the_store_is_deleted_as_an_orphan(
    owner: Database, bucket: AudioStore
) -> None:
    async with owner.connection() as connection:
        place, first = await kept(connection, bucket, await a_vmbox(connection))
        second = key_of(place)
        await put(bucket, second)
        _, replaced = await rows.attach_audio(
            connection,
            place,
            some_audio(key=second),
            length_ms=1,
            retained_since=RETAINED_SINCE,
            max_message_count=None,
        )
        await rows.change_folder(
            connection, place, Folder.SAVED, retained_since=RETAINED_SINCE, reason="api"
        )
    assert replaced == first
    await sweep(owner, bucket).run(StepProgress())
    assert await keys_in(bucket) == [second]


@pytest.mark.long
async def test_orphans_are_deleted_across_pages_and_after_a_kill(
    owner: Database, bucket: AudioStore
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        pairs = [await kept(connection, bucket, box) for _ in range(5)]
    await put(bucket, *(a_key() for _ in range(500)), *(a_key(NOW - 40 * DAY) for _ in range(500)))
    with pytest.raises(Killed):
        await sweep(owner, bucket).run(KilledAfter(1))
    assert 5 < len(await keys_in(bucket)) <= 10
    await sweep(owner, bucket).run(StepProgress())
    assert await keys_in(bucket) == sorted(key for _, key in pairs)


async def test_two_orphan_steps_in_parallel_delete_only_orphans(
    owner: Database, bucket: AudioStore
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        pairs = [await kept(connection, bucket, box) for _ in range(5)]
    await put(bucket, *(a_key() for _ in range(40)))
    sweeps = [Orphans(owner, bucket, in_days(2), DAY, batch=batch) for batch in (3, 7)]
    await asyncio.gather(*(item.run(StepProgress()) for item in sweeps))
    assert await keys_in(bucket) == sorted(key for _, key in pairs)
