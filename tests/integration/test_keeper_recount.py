"""Recount: wrong counts are repaired under the lock, with an event."""

import asyncio
import random
from uuid import uuid4

import asyncpg
import pytest

from service.domain.message import Folder
from service.postgres import messages as rows
from service.postgres.greetings import insert_greeting
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import delete_vmbox
from service.workers.keeper import StepProgress
from service.workers.keeper.recount import Recount
from tests.support.builders import (
    RETAINED_SINCE,
    Box,
    a_vmbox,
    all_at_once,
    audit,
    counts_of,
    events_of,
    last_event,
    some_audio,
    stored,
)
from tests.support.keeper import Killed, KilledAfter


class RecordedProgress(StepProgress):
    """Adds up the reports."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0

    def set_total(self, total: int) -> None:
        self.total = total

    def advance(self, count: int) -> None:
        self.done += count


async def some_boxes(connection: Connection, number: int) -> list[Box]:
    boxes = [await a_vmbox(connection) for _ in range(number)]
    for box in boxes:
        for folder in (Folder.NEW, Folder.NEW, Folder.SAVED, Folder.DELETED):
            await stored(connection, box, folder=folder)
        await stored(connection, box, audio=None)
    return boxes


async def drift(connection: Connection, box: Box, change: str) -> None:
    await connection.execute(
        f"UPDATE vmbox_counts SET {change} WHERE account_id = $1 AND vmbox_id = $2",  # noqa: S608
        box.account_id,
        box.vmbox_id,
    )


async def test_wrong_counts_are_repaired_with_an_event(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        boxes = await some_boxes(connection, 4)
        before = [await audit(inspector, box) for box in boxes]
        await drift(connection, boxes[1], "new_count = 7, saved_count = 0")
        await drift(connection, boxes[2], "saved_count = 2, pending_count = 0")
    done = await Recount(owner, boxes=2).run(StepProgress())
    assert done == {"boxes_counted": 4, "boxes_repaired": 2}
    for box, events in zip(boxes, before, strict=True):
        after = await audit(inspector, box)
        assert len(after) == len(events) + (box in boxes[1:3])
    for box in boxes[1:3]:
        event = await last_event(inspector, box)
        assert (event.type, event.counts) == ("vmbox.updated", (2, 1))
        assert event.data["vmbox"]["id"] == box.vmbox_id.hex
    assert (await Recount(owner).run(StepProgress()))["boxes_repaired"] == 0


async def test_wrong_counts_that_no_event_shows_are_repaired_without_one(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        (box,) = await some_boxes(connection, 1)
        before = await audit(inspector, box)
        await drift(connection, box, "pending_count = 0")
    assert (await Recount(owner).run(StepProgress()))["boxes_repaired"] == 1
    assert await audit(inspector, box) == before


async def test_deleted_boxes_are_not_counted(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        (box,) = await some_boxes(connection, 1)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
    assert not any((await Recount(owner).run(StepProgress())).values())
    await audit(inspector, box)


async def test_wrong_stored_bytes_are_corrected_without_an_event(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    account_id = uuid4()
    async with owner.connection() as connection:
        await connection.execute(
            "INSERT INTO accounts (account_id, ancestors, name, realm, document, api_key_lookup,"
            " api_key_sealed) VALUES ($1, '{}', 'root', 'root.example', '{}', '', '')",
            account_id,
        )
        boxes = [await a_vmbox(connection, account_id) for _ in range(3)]
        for box in boxes:
            await stored(connection, box)
        async with connection.transaction():
            await insert_greeting(connection, account_id, uuid4(), {"name": "Hello"}, some_audio())
        await audit(inspector, boxes[0])
        await drift(connection, boxes[1], "stored_bytes = 100")
        await connection.execute("UPDATE account_bytes SET bytes = bytes - 7")
    done = await asyncio.gather(*(Recount(owner, boxes=1).run(StepProgress()) for _ in range(2)))
    assert [counts["boxes_repaired"] for counts in done] == [0, 0]
    for box in boxes:
        assert len(await audit(inspector, box)) == 2


@pytest.mark.parametrize(("boxes", "messages"), [(1, 20_000), (2, 20_000), (100, 1), (100, 5)])
async def test_every_box_is_counted_with_any_page_size(
    owner: Database, boxes: int, messages: int
) -> None:
    async with owner.connection() as connection:
        for box in await some_boxes(connection, 5):
            await drift(connection, box, "new_count = 0")
        await a_vmbox(connection)
    progress = RecordedProgress()
    done = await Recount(owner, boxes=boxes, messages=messages).run(progress)
    assert done == {"boxes_counted": 6, "boxes_repaired": 5}
    assert (progress.total, progress.done) == (6, 6)


async def test_a_box_in_use_is_not_reported_as_wrong(
    owner: Database, database: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        boxes = await some_boxes(connection, 3)

    async def work(connection: Connection, dice: random.Random) -> None:
        for _ in range(20):
            place = await stored(connection, dice.choice(boxes))
            await rows.change_folder(
                connection,
                place,
                dice.choice(list(Folder)),
                retained_since=RETAINED_SINCE,
                reason="api",
            )

    async def recount() -> int:
        repaired = 0
        while not clients.done():
            repaired += (await Recount(owner, boxes=2).run(StepProgress()))["boxes_repaired"]
        return repaired

    clients = asyncio.create_task(all_at_once(database, work, clients=6))
    assert await recount() == 0
    await clients
    for box in boxes:
        await audit(inspector, box)


async def test_two_recounts_at_once_repair_with_one_event(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        boxes = await some_boxes(connection, 6)
        for box in boxes:
            await drift(connection, box, "new_count = 9")
    done = await asyncio.gather(*(Recount(owner).run(StepProgress()) for _ in range(2)))
    assert sum(counts["boxes_repaired"] for counts in done) == 6
    for box in boxes:
        assert [event.type for event in await audit(inspector, box)][-1:] == ["vmbox.updated"]
        assert len(await events_of(inspector, box)) == 6


async def test_a_recount_killed_between_pages_starts_again(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    async with owner.connection() as connection:
        boxes = await some_boxes(connection, 3)
        for box in boxes:
            await drift(connection, box, "new_count = 9")
    with pytest.raises(Killed):
        await Recount(owner, boxes=1).run(KilledAfter(1))
    right = [box for box in boxes if (await counts_of(inspector, box)).new_count == 2]
    assert len(right) == 1
    assert (await Recount(owner).run(StepProgress()))["boxes_repaired"] == 2
