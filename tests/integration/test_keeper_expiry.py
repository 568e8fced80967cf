"""Expiry: messages past retention, of deleted boxes, and those whose audio never came."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import asyncpg
import pytest

from service.domain.errors import DatabaseUnavailable, MessageNotFound
from service.domain.message import Folder, MessageId, month_of
from service.postgres import messages as rows
from service.postgres.keeper import BoxKey, expire_messages
from service.postgres.messages import Place
from service.postgres.months import ensure_month
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import delete_vmbox
from service.workers.keeper import Progress
from service.workers.keeper.expiry import Expiry, Pending
from tests.support.builders import (
    EXPIRED,
    NOW,
    RETAINED_SINCE,
    Box,
    Recorded,
    a_vmbox,
    all_at_once,
    audit,
    counts_of,
    events_of,
    some_audio,
    stored,
)
from tests.support.keeper import Killed, KilledAfter, in_days

IN_20_DAYS = in_days(20)
"""Retention is 30 days in these tests: then what came 15 days ago is past it."""
FOLDERS = (Folder.NEW, Folder.SAVED, Folder.NEW, Folder.DELETED, Folder.NEW, Folder.SAVED)


def expiry(owner: Database, batch: int = 500) -> Expiry:
    return Expiry(owner, IN_20_DAYS, retention_days=30, batch=batch)


async def an_old_box(
    connection: Connection, folders: Sequence[Folder] = FOLDERS, account: Box | None = None
) -> Box:
    """Messages of two weeks ago, seconds apart, and a young one."""
    box = await a_vmbox(connection, account.account_id if account else None)
    for number, folder in enumerate(folders):
        received_at = NOW - timedelta(days=15, seconds=number)
        await stored(connection, box, folder=folder, received_at=received_at)
    await stored(connection, box)
    return box


def retained(events: Sequence[Recorded]) -> list[Recorded]:
    return [event for event in events if event.data.get("reason") == "retention"]


async def remaining(connection: Connection, box: Box) -> int:
    number: int = await connection.fetchval(
        """
        SELECT count(*) FROM messages
        WHERE account_id = $1 AND vmbox_id = $2 AND removed_at IS NULL
        """,
        box.account_id,
        box.vmbox_id,
    )
    return number


@pytest.mark.parametrize("batch", [2, 500])
async def test_expired_messages_leave_the_counts_with_an_event_each(
    owner: Database, inspector: asyncpg.Connection, batch: int
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
    done = await expiry(owner, batch).run(Progress())
    assert done == {"messages_expired": 6, "messages_of_deleted_boxes_removed": 0}
    events = await audit(inspector, box)
    told = retained(events)
    assert {event.type for event in told} == {"message.removed"}
    # Oldest first: the last one stored above came first.
    assert [event.data["message"]["folder"] for event in told] == list(reversed(FOLDERS))
    assert [event.counts for event in told] == [(4, 1), (3, 1), (3, 1), (2, 1), (2, 0), (1, 0)]
    assert await remaining(inspector, box) == 1
    again = await expiry(owner).run(Progress())
    assert not any(again.values())


async def test_boxes_of_many_accounts_and_months_expire_in_one_run(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        for days in (60, 100):
            await ensure_month(connection, month_of(NOW - timedelta(days=days)))
        boxes = [await an_old_box(connection) for _ in range(5)]
        boxes.append(await an_old_box(connection, account=boxes[0]))
        for box in boxes[:3]:
            for days in (60, 100):
                received_at = NOW - timedelta(days=days)
                await stored(connection, box, received_at=received_at, retained=True)
    done = await expiry(owner, batch=4).run(Progress())
    assert done["messages_expired"] == 6 * 6 + 3 * 2
    for box in boxes:
        events = await events_of(inspector, box)
        assert events[-1].counts == (1, 0)
        await audit(inspector, box)


async def test_a_message_that_waits_for_audio_expires_in_silence(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
        old = NOW - timedelta(days=16)
        await stored(connection, box, audio=None, received_at=old)
        await stored(connection, box, audio=None)
        assert (await counts_of(connection, box)).pending_count == 2
    await expiry(owner).run(Progress())
    events = await audit(inspector, box)
    assert len(retained(events)) == 6
    assert (await counts_of(inspector, box)).pending_count == 1


async def test_a_message_stored_past_retention_expires_with_an_event_and_changes_no_count(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        await ensure_month(connection, month_of(EXPIRED))
        box = await a_vmbox(connection)
        await stored(connection, box)
        await stored(connection, box, received_at=EXPIRED)
    await Expiry(owner, in_days(0), retention_days=30).run(Progress())
    events = await events_of(inspector, box)
    assert [event.type for event in events][2:] == ["message.new", "message.removed"]
    assert [event.counts for event in events][1:] == [(1, 0), (1, 0), (1, 0)]
    assert events[-1].data["reason"] == "retention"


async def test_messages_of_a_deleted_box_are_removed_without_an_event(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box, neighbour = await an_old_box(connection), await an_old_box(connection)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
    events = await audit(inspector, box)
    done = await Expiry(owner, in_days(0), retention_days=30, batch=3).run(Progress())
    assert done == {"messages_expired": 0, "messages_of_deleted_boxes_removed": 7}
    assert await remaining(inspector, box) == 0
    assert await remaining(inspector, neighbour) == 7
    assert await audit(inspector, box) == events


async def test_a_box_deleted_with_expired_messages_tells_nothing_more(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
    events = await audit(inspector, box)
    done = await expiry(owner).run(Progress())
    assert sum(done.values()) == 7
    assert await audit(inspector, box) == events


@pytest.mark.parametrize("batches", [1, 2, 3])
async def test_a_keeper_killed_between_batches_leaves_every_box_right_and_another_goes_on(
    owner: Database, inspector: asyncpg.Connection, batches: int
) -> None:
    async with owner.connection() as connection:
        boxes = [await an_old_box(connection) for _ in range(3)]
    with pytest.raises(Killed):
        await expiry(owner, batch=3).run(KilledAfter(batches))
    gone = 0
    for box in boxes:
        gone += len(retained(await audit(inspector, box)))
    assert 0 < gone < 18
    done = await expiry(owner, batch=3).run(Progress())
    assert done["messages_expired"] == 18 - gone
    for box in boxes:
        assert len(retained(await audit(inspector, box))) == 6


async def test_a_statement_whose_session_is_ended_changes_nothing(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
    before = await audit(inspector, box)
    async with inspector.transaction():
        await lock(inspector, box)
        running = asyncio.create_task(expiry(owner).run(Progress()))
        (waiting,) = await waiting_sessions(inspector)
        await inspector.fetchval("SELECT pg_terminate_backend($1)", waiting)
        with pytest.raises(DatabaseUnavailable):
            await running
    assert await audit(inspector, box) == before
    await expiry(owner).run(Progress())
    assert len(retained(await audit(inspector, box))) == 6


async def test_what_changes_while_expiry_waits_for_the_box_is_expired_as_it_then_is(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        old = NOW - timedelta(days=15)
        filed, removed, completed = [
            await stored(connection, box, received_at=old, audio=audio)
            for audio in (some_audio(), some_audio(), None)
        ]
    async with owner.transaction() as connection:
        await rows.change_folder(
            connection, filed, Folder.SAVED, retained_since=RETAINED_SINCE, reason="api"
        )
        running = asyncio.create_task(expiry(owner).run(Progress()))
        await waiting_sessions(inspector)
        await rows.remove_message(connection, removed, reason="api")
        await rows.attach_audio(
            connection,
            completed,
            some_audio(),
            length_ms=1,
            retained_since=RETAINED_SINCE,
            max_message_count=None,
        )
    assert (await running)["messages_expired"] == 2
    told = retained(await audit(inspector, box))
    assert {event.data["message"]["media_id"] for event in told} == {
        str(filed.message_id),
        str(completed.message_id),
    }


async def test_two_keepers_and_eight_clients_at_once_leave_the_counts_right(
    owner: Database, database: Database, inspector: asyncpg.Connection
) -> None:
    folders = FOLDERS * 10
    async with owner.connection() as connection:
        boxes = [await an_old_box(connection, folders) for _ in range(3)]
        found = await connection.fetch(
            "SELECT account_id, vmbox_id, month, id FROM messages WHERE received_at < $1",
            NOW - timedelta(days=10),
        )
    places = [
        Place(row["account_id"], row["vmbox_id"], MessageId(row["month"], row["id"]))
        for row in found
    ]

    async def work(connection: Connection, dice: random.Random) -> None:
        for place in dice.sample(places, 60):
            with suppress(MessageNotFound):
                if dice.random() < 0.3:
                    await rows.remove_message(connection, place, reason="api")
                else:
                    await rows.change_folder(
                        connection,
                        place,
                        dice.choice(list(Folder)),
                        retained_since=RETAINED_SINCE,
                        reason="api",
                    )

    keepers = asyncio.gather(*(expiry(owner, batch=7).run(Progress()) for _ in range(2)))
    await all_at_once(database, work, clients=8)
    done = await keepers
    expired = 0
    for box in boxes:
        expired += len(retained(await audit(inspector, box)))
        assert await remaining(inspector, box) == 1
    assert expired == sum(one["messages_expired"] for one in done) > 0


async def test_a_box_whose_counts_are_too_low_is_set_right_and_holds_nobody_up(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        boxes = [await an_old_box(connection) for _ in range(3)]
    await inspector.execute(
        "UPDATE vmbox_counts SET new_count = 1 WHERE vmbox_id = $1", boxes[1].vmbox_id
    )
    done = await expiry(owner).run(Progress())
    assert done["messages_expired"] == 18
    assert [event.counts for event in (await events_of(inspector, boxes[1]))[-1:]] == [(1, 0)]
    for box in boxes:
        await audit(inspector, box)


async def test_messages_whose_audio_never_came_go_in_silence_after_a_week(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box)
        waiting = [await stored(connection, box, audio=None) for _ in range(4)]
        await rows.attach_audio(
            connection,
            waiting[0],
            some_audio(),
            length_ms=1,
            retained_since=RETAINED_SINCE,
            max_message_count=None,
        )
    await inspector.execute(
        "UPDATE messages SET created_at = now() - interval '6 days 23 hours' WHERE id = $1",
        waiting[1].message_id.id,
    )
    await inspector.execute(
        "UPDATE messages SET created_at = now() - interval '7 days 1 hour' WHERE id = ANY($1)",
        [waiting[0].message_id.id, waiting[2].message_id.id],
    )
    before = await audit(inspector, box)
    done = await Pending(owner, in_days(0)).run(Progress())
    assert done == {"messages_without_audio_removed": 1}
    assert await audit(inspector, box) == before
    assert (await counts_of(inspector, box)).pending_count == 2
    with pytest.raises(MessageNotFound):
        await rows.get_message(inspector, waiting[2])
    await Pending(owner, in_days(8)).run(Progress())
    assert (await counts_of(inspector, box)).pending_count == 0
    await audit(inspector, box)


async def test_audio_that_comes_while_pending_waits_for_the_box_saves_the_message(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, audio=None)
    async with owner.transaction() as connection:
        await lock(connection, box)
        running = asyncio.create_task(Pending(owner, in_days(8)).run(Progress()))
        await waiting_sessions(inspector)
        await rows.attach_audio(
            connection,
            place,
            some_audio(),
            length_ms=1,
            retained_since=RETAINED_SINCE,
            max_message_count=None,
        )
    assert (await running)["messages_without_audio_removed"] == 0
    await audit(inspector, box)
    assert (await counts_of(inspector, box)).new_count == 1


async def test_a_box_that_is_gone_has_nothing_to_expire(owner: Database) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        gone = BoxKey(box.account_id, box.account_id)
        assert await expire_messages(connection, gone, month_of(NOW), NOW, 10) == 0


async def lock(connection: Connection, box: Box) -> None:
    await connection.execute(
        "SELECT FROM vmbox_counts WHERE vmbox_id = $1 FOR NO KEY UPDATE", box.vmbox_id
    )


async def waiting_sessions(inspector: asyncpg.Connection) -> list[int]:
    """The sessions that wait for a row of another, as soon as there is one."""
    async with asyncio.timeout(5):
        while True:
            found = await inspector.fetch(
                """
                SELECT pid FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'
                """
            )
            if found:
                return [row["pid"] for row in found]
            await asyncio.sleep(0.01)
