"""Expiry under kills, lock waits and concurrency."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta

import asyncpg
import pytest

from service.domain.errors import DatabaseUnavailable, MessageNotFound
from service.domain.message import Folder, MessageId
from service.postgres import messages as rows
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection, Database
from service.workers.keeper import StepProgress
from service.workers.keeper.expiry import PendingExpiry
from tests.support.builders import (
    NOW,
    RETAINED_SINCE,
    Box,
    a_vmbox,
    all_at_once,
    audit,
    counts_of,
    some_audio,
    stored,
)
from tests.support.expiry import FOLDERS, an_old_box, expiry, remaining, retained
from tests.support.keeper import Killed, KilledAfter, in_days
from tests.support.waiting import wait_until


@pytest.mark.parametrize("batches", [1, 2, 3])
async def test_a_keeper_killed_between_batches_leaves_consistent_boxes_and_another_continues(
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
    done = await expiry(owner, batch=3).run(StepProgress())
    assert done["messages_expired"] == 18 - gone
    for box in boxes:
        assert len(retained(await audit(inspector, box))) == 6


async def test_a_terminated_session_changes_nothing(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await an_old_box(connection)
    before = await audit(inspector, box)
    async with inspector.transaction():
        await lock(inspector, box)
        running = asyncio.create_task(expiry(owner).run(StepProgress()))
        (waiting,) = await waiting_sessions(inspector)
        await inspector.fetchval("SELECT pg_terminate_backend($1)", waiting)
        with pytest.raises(DatabaseUnavailable):
            await running
    assert await audit(inspector, box) == before
    await expiry(owner).run(StepProgress())
    assert len(retained(await audit(inspector, box))) == 6


async def test_expiry_uses_the_state_after_it_has_locked_the_box(
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
        running = asyncio.create_task(expiry(owner).run(StepProgress()))
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
    events = retained(await audit(inspector, box))
    assert {event.data["message"]["media_id"] for event in events} == {
        str(filed.message_id),
        str(completed.message_id),
    }


async def test_two_keepers_and_eight_clients_in_parallel_leave_correct_counts(
    owner: Database, database: Database, inspector: asyncpg.Connection
) -> None:
    folders = FOLDERS * 10
    async with owner.connection() as connection:
        boxes = [await an_old_box(connection, folders) for _ in range(3)]
        result = await connection.fetch(
            "SELECT account_id, vmbox_id, month, id FROM messages WHERE received_at < $1",
            NOW - timedelta(days=10),
        )
    places = [
        MessageKey(row["account_id"], row["vmbox_id"], MessageId(row["month"], row["id"]))
        for row in result
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

    keepers = asyncio.gather(*(expiry(owner, batch=7).run(StepProgress()) for _ in range(2)))
    await all_at_once(database, work, clients=8)
    done = await keepers
    expired = 0
    for box in boxes:
        expired += len(retained(await audit(inspector, box)))
        assert await remaining(inspector, box) == 1
    assert expired == sum(counts["messages_expired"] for counts in done) > 0


async def test_audio_that_arrives_before_the_pending_step_locks_the_box_keeps_the_message(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, audio=None)
    async with owner.transaction() as connection:
        await lock(connection, box)
        running = asyncio.create_task(PendingExpiry(owner, in_days(8)).run(StepProgress()))
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


async def lock(connection: Connection, box: Box) -> None:
    await connection.execute(
        "SELECT FROM vmbox_counts WHERE vmbox_id = $1 FOR NO KEY UPDATE", box.vmbox_id
    )


async def waiting_sessions(inspector: asyncpg.Connection) -> list[int]:
    """Waits until a session waits for a lock. Returns the IDs of all such sessions."""
    pids: list[int] = []

    async def any_waits() -> bool:
        result = await inspector.fetch(
            """
            SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        )
        pids.extend(row["pid"] for row in result)
        return bool(pids)

    await wait_until(any_waits)
    return pids
