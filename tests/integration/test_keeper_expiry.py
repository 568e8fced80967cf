"""Expiry: messages past retention, of deleted boxes, and pending ones."""

from datetime import timedelta
from functools import partial

import asyncpg
import pytest

from service.domain.errors import MessageNotFound, VmboxNotFound
from service.domain.message import month_of
from service.postgres import messages as rows
from service.postgres.expiry import expire_messages
from service.postgres.keeper import BoxKey
from service.postgres.months import ensure_month
from service.postgres.pool import Database
from service.postgres.vmbox_trash import lock_deleted_vmbox
from service.postgres.vmboxes import delete_vmbox
from service.workers.keeper import StepProgress
from service.workers.keeper.expiry import Expiry, PendingExpiry
from tests.support.builders import (
    EXPIRED,
    NOW,
    RETAINED_SINCE,
    a_vmbox,
    an_account_row,
    audit,
    counts_of,
    events_of,
    some_audio,
    stored,
)
from tests.support.expiry import FOLDERS, an_old_box, expiry, remaining, retained
from tests.support.keeper import Killed, KilledAfter, in_days


@pytest.mark.parametrize("batch", [2, 500])
async def test_expired_messages_are_removed_from_the_counts_with_one_event_each(
    owner: Database, inspector: asyncpg.Connection, batch: int
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
    done = await expiry(owner, batch).run(StepProgress())
    assert done == {"messages_expired": 6, "messages_of_deleted_boxes_removed": 0}
    events = await audit(inspector, box)
    actual = retained(events)
    assert {event.type for event in actual} == {"message.removed"}
    # Oldest first: the last one stored above came first.
    assert [event.data["message"]["folder"] for event in actual] == list(reversed(FOLDERS))
    assert [event.counts for event in actual] == [(4, 1), (3, 1), (3, 1), (2, 1), (2, 0), (1, 0)]
    assert await remaining(inspector, box) == 1
    again = await expiry(owner).run(StepProgress())
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
    done = await expiry(owner, batch=4).run(StepProgress())
    assert done["messages_expired"] == 6 * 6 + 3 * 2
    for box in boxes:
        events = await events_of(inspector, box)
        assert events[-1].counts == (1, 0)
        await audit(inspector, box)


async def test_a_pending_message_expires_without_an_event(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
        old = NOW - timedelta(days=16)
        await stored(connection, box, audio=None, received_at=old)
        await stored(connection, box, audio=None)
        assert (await counts_of(connection, box)).pending_count == 2
    await expiry(owner).run(StepProgress())
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
    await Expiry(owner, in_days(0), retention_days=30).run(StepProgress())
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
    before = await Expiry(owner, in_days(6.9), retention_days=30, batch=3).run(StepProgress())
    assert not any(before.values())
    done = await Expiry(owner, in_days(7.1), retention_days=30, batch=3).run(StepProgress())
    assert done == {"messages_expired": 0, "messages_of_deleted_boxes_removed": 7}
    assert await remaining(inspector, box) == 0
    assert await remaining(inspector, neighbour) == 7
    assert await audit(inspector, box) == events


@pytest.mark.parametrize("batches", [1, 2])
async def test_a_box_that_is_partly_emptied_cannot_be_restored(
    owner: Database, inspector: asyncpg.Connection, batches: int
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
        lock = partial(
            lock_deleted_vmbox,
            account_id=box.account_id,
            vmbox_id=box.vmbox_id,
            deleted_after=NOW - timedelta(days=7),
            deleted_until=NOW + timedelta(days=1),
        )
        assert await lock(connection) is not None
    emptying = Expiry(owner, in_days(7.1), retention_days=30, batch=3)
    with pytest.raises(Killed):
        await emptying.run(KilledAfter(batches))
    with pytest.raises(VmboxNotFound):
        await lock(inspector)
    await emptying.run(StepProgress())
    assert await remaining(inspector, box) == 0
    removals = await inspector.fetch("SELECT DISTINCT removed_at FROM messages")
    assert all(row["removed_at"] < NOW + timedelta(days=1) for row in removals)


async def test_a_deleted_box_is_emptied_after_the_trash_days_of_its_account(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    boxes = {}
    for days in (None, 2, 30):
        account = await an_account_row(owner)
        async with owner.connection() as connection:
            await connection.execute(
                "UPDATE accounts SET document = $2 WHERE account_id = $1",
                account.account_id,
                {} if days is None else {"trash_days": days},
            )
            boxes[days] = await a_vmbox(connection, account.account_id)
            await stored(connection, boxes[days])
            await delete_vmbox(connection, account.account_id, boxes[days].vmbox_id)
    for passed, emptied in ((1.9, set()), (2.1, {2}), (7.1, {2, None}), (30.1, {2, None, 30})):
        await Expiry(owner, in_days(passed), retention_days=300).run(StepProgress())
        left = {name for name, box in boxes.items() if await remaining(inspector, box)}
        assert left == set(boxes) - emptied, passed


async def test_a_deleted_box_has_no_further_expiry_events(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
    events = await audit(inspector, box)
    done = await expiry(owner).run(StepProgress())
    assert sum(done.values()) == 7
    assert await audit(inspector, box) == events


async def test_a_box_whose_counts_are_too_low_is_repaired_and_blocks_no_other(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        boxes = [await an_old_box(connection) for _ in range(3)]
    await inspector.execute(
        "UPDATE vmbox_counts SET new_count = 1 WHERE vmbox_id = $1", boxes[1].vmbox_id
    )
    done = await expiry(owner).run(StepProgress())
    assert done["messages_expired"] == 18
    assert [event.counts for event in (await events_of(inspector, boxes[1]))[-1:]] == [(1, 0)]
    for box in boxes:
        await audit(inspector, box)


async def test_messages_without_audio_are_removed_after_a_week_without_an_event(
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
    done = await PendingExpiry(owner, in_days(0)).run(StepProgress())
    assert done == {"messages_without_audio_removed": 1}
    assert await audit(inspector, box) == before
    assert (await counts_of(inspector, box)).pending_count == 2
    with pytest.raises(MessageNotFound):
        await rows.get_message(inspector, waiting[2])
    await PendingExpiry(owner, in_days(8)).run(StepProgress())
    assert (await counts_of(inspector, box)).pending_count == 0
    await audit(inspector, box)


async def test_a_deleted_box_has_nothing_to_expire(owner: Database) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        gone = BoxKey(box.account_id, box.account_id)
        bounds = {"before": NOW, "deleted_before": NOW}
        assert await expire_messages(connection, gone, month_of(NOW), **bounds, limit=10) == 0
