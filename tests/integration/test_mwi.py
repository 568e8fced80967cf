"""Lamp bucket: lamps follow the counts, never go backwards, and are rebuilt after a loss."""

import asyncio
import random
from contextlib import suppress
from uuid import uuid4

import asyncpg
import pytest
from nats.js.errors import NoStreamResponseError

from service.domain.lamp import Lamp, LampKey
from service.domain.message import Folder
from service.postgres.accounts import delete_account
from service.postgres.messages import change_folder
from service.postgres.pool import Connection, Database
from service.postgres.vmbox_trash import restore_vmbox
from service.workers.channels.mwi import KvLamps, resync
from tests.support.builders import (
    RETAINED_SINCE,
    Box,
    a_vmbox,
    all_at_once,
    stored,
)
from tests.support.lamp_harness import LampHarness, delete, renumber
from tests.support.relay import all_sent
from tests.support.waiting import wait_until


async def test_a_lamp_shows_the_counts_of_its_box(
    lamp_harness: LampHarness, inspector: asyncpg.Connection
) -> None:
    database = lamp_harness.database
    async with database.connection() as connection:
        box = await a_vmbox(connection, mailbox="100")
    async with lamp_harness.relay(), lamp_harness.lamps():
        await lamp_harness.until_correct(box)
        async with database.connection() as connection:
            place = await stored(connection, box)
        await lamp_harness.until_correct(box)
        assert await lamp_harness.stored_lamp(box) == Lamp(
            mailbox="100", new=1, saved=0, waiting=True, epoch=1, sequence=2
        )
        async with database.connection() as connection:
            await change_folder(
                connection, place, Folder.SAVED, retained_since=RETAINED_SINCE, reason="api"
            )
        await lamp_harness.until_correct(box)
        assert await lamp_harness.stored_lamp(box) == Lamp(
            mailbox="100", new=0, saved=1, waiting=False, epoch=1, sequence=3
        )
        await all_sent(inspector)


async def test_a_replay_from_the_first_event_writes_nothing(
    lamp_harness: LampHarness, inspector: asyncpg.Connection
) -> None:
    async with lamp_harness.database.connection() as connection:
        boxes = [await a_vmbox(connection) for _ in range(5)]
        for box in boxes * 4:
            await stored(connection, box)
        gone = await a_vmbox(connection)
        await stored(connection, gone)
    await delete(lamp_harness.database, gone)
    async with lamp_harness.relay():
        await all_sent(inspector)
    async with lamp_harness.lamps():
        await lamp_harness.until_correct(*boxes, gone)
        await lamp_harness.until_all_acked()
        before = await lamp_harness.revisions()
        await lamp_harness.replay()
        await lamp_harness.until_all_acked()
        assert await lamp_harness.is_correct(*boxes, gone)
        assert await lamp_harness.stored_lamp(gone) is None
    assert await lamp_harness.revisions() == before


async def test_a_lamp_is_deleted_with_its_box_and_no_late_event_restores_it(
    lamp_harness: LampHarness, inspector: asyncpg.Connection
) -> None:
    database = lamp_harness.database
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box)
    async with lamp_harness.relay(), lamp_harness.lamps():
        await lamp_harness.until_correct(box)
        assert await lamp_harness.stored_lamp(box) is not None
        await delete(database, box)
        await all_sent(inspector)
        await wait_until(lambda: _dark(lamp_harness, box))
        lamps = KvLamps(database, lamp_harness.bucket)
        late = Lamp.of(mailbox="1", new=1, saved=0, epoch=1, sequence=2)
        await lamps.set(LampKey(box.account_id, box.vmbox_id), late)
        assert await lamp_harness.stored_lamp(box) is None
        async with database.connection() as connection:
            document = {"name": "Box", "mailbox": "700"}
            where = (box.account_id, box.vmbox_id)
            assert await restore_vmbox(connection, *where, document, max_stored_bytes=None)
        await lamp_harness.until_correct(box)
        restored = await lamp_harness.stored_lamp(box)
        assert restored is not None
        assert (restored.new, restored.waiting) == (1, True)


async def test_the_lamps_of_a_deleted_account_are_deleted(
    lamp_harness: LampHarness, inspector: asyncpg.Connection
) -> None:
    async with lamp_harness.database.connection() as connection:
        boxes = [await a_vmbox(connection)]
        boxes += [await a_vmbox(connection, boxes[0].account_id) for _ in range(3)]
        other = await a_vmbox(connection)
    async with lamp_harness.relay(), lamp_harness.lamps():
        await lamp_harness.until_correct(*boxes, other)
        assert all([await lamp_harness.stored_lamp(box) for box in boxes])
        async with lamp_harness.database.transaction() as transaction:
            await delete_account(transaction, boxes[0].account_id, 60)
        await all_sent(inspector)
        for box in boxes:
            await wait_until(lambda box=box: _dark(lamp_harness, box))  # type: ignore[misc]
        assert await lamp_harness.stored_lamp(other) is not None


async def test_a_lost_bucket_is_filled_again(
    lamp_harness: LampHarness, inspector: asyncpg.Connection
) -> None:
    async with lamp_harness.database.connection() as connection:
        boxes = [await a_vmbox(connection) for _ in range(20)]
        for box in boxes[:10]:
            await stored(connection, box)
    async with lamp_harness.relay(), lamp_harness.lamps():
        await lamp_harness.until_correct(*boxes)
        await all_sent(inspector)
        await lamp_harness.until_all_acked()
        await lamp_harness.lose_bucket()
        await lamp_harness.until_correct(*boxes)
        async with lamp_harness.database.connection() as connection:
            await stored(connection, boxes[0])
        await lamp_harness.until_correct(*boxes)


async def test_an_interrupted_resync_is_completed_by_the_next_process(
    lamp_harness: LampHarness,
) -> None:
    async with lamp_harness.database.connection() as connection:
        boxes = [await a_vmbox(connection) for _ in range(20)]
    await wait_until(lambda: _made(lamp_harness))
    async with lamp_harness.lamps():
        await lamp_harness.until_correct(*boxes)
        await wait_until(lamp_harness.bucket.ensure)


async def test_a_resync_repairs_wrong_lamps_and_removes_lamps_without_a_box(
    lamp_harness: LampHarness,
) -> None:
    async with lamp_harness.database.connection() as connection:
        box, stranger = await a_vmbox(connection), Box((await a_vmbox(connection)).account_id, _ID)
    await wait_until(lambda: _made(lamp_harness))
    wrong = Lamp.of(mailbox="9", new=9, saved=9, epoch=1, sequence=1)
    for item in (box, stranger):
        assert await lamp_harness.bucket.write(LampKey(item.account_id, item.vmbox_id), wrong, 0)
    await resync(KvLamps(lamp_harness.database, lamp_harness.bucket), lamp_harness.database)
    assert await lamp_harness.is_correct(box, stranger)
    assert await lamp_harness.stored_lamp(stranger) is None


@pytest.mark.long
async def test_lamps_equal_counts_after_concurrent_changes_and_kills(
    lamp_harness: LampHarness, inspector: asyncpg.Connection
) -> None:
    database = lamp_harness.database
    async with database.connection() as connection:
        boxes = [await a_vmbox(connection) for _ in range(4)]

    async def work(connection: Connection, chance: random.Random) -> None:
        for _ in range(10):
            place = await stored(connection, chance.choice(boxes))
            if chance.random() < 0.5:
                await change_folder(
                    connection, place, Folder.SAVED, retained_since=RETAINED_SINCE, reason="api"
                )

    async with lamp_harness.relay():
        storm = asyncio.create_task(all_at_once(database, work, 8))
        for _ in range(4):
            async with lamp_harness.lamps() as first, lamp_harness.lamps() as second:
                for process in (first, second):
                    before = await lamp_harness.revisions()
                    await wait_until(
                        lambda before=before: _written_or(lamp_harness, before, storm)  # type: ignore[misc]
                    )
                    await process.kill()
        await storm
        await all_sent(inspector)
    async with lamp_harness.lamps(), lamp_harness.lamps():
        await lamp_harness.until_correct(*boxes)


async def test_an_unreadable_event_makes_the_lamp_reread_its_box(
    lamp_harness: LampHarness, database: Database
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
    async with lamp_harness.relay(), lamp_harness.lamps():
        await lamp_harness.until_correct(box)
        key = LampKey(box.account_id, box.vmbox_id)
        held = await lamp_harness.bucket.read(key)
        assert await lamp_harness.bucket.write(key, None, held.revision)
        client = lamp_harness.bus.client()
        subject = (
            f"{lamp_harness.stream.subject_prefix}.{box.account_id.hex}.{box.vmbox_id.hex}.x.y"
        )

        async def is_published() -> bool:
            # The relay creates the stream.
            with suppress(NoStreamResponseError):
                await client.jetstream().publish(subject, b"?")
                return True
            return False

        await wait_until(is_published)
        await lamp_harness.until_correct(box)
        await lamp_harness.until_all_acked()


async def test_a_renumbered_box_has_a_lamp_with_its_new_number(lamp_harness: LampHarness) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection, mailbox="100")
        await renumber(connection, box, "200")
    async with lamp_harness.relay(), lamp_harness.lamps():
        await lamp_harness.until_correct(box)
        lamp = await lamp_harness.stored_lamp(box)
        assert lamp is not None
        assert lamp.mailbox == "200"


_ID = uuid4()


async def _written_or(harness: LampHarness, before: int, storm: asyncio.Task[None]) -> bool:
    """True after a lamp was written since `before`, or without further messages."""
    return storm.done() or await harness.revisions() > before


async def _dark(harness: LampHarness, box: Box) -> bool:
    return await harness.stored_lamp(box) is None


async def _made(harness: LampHarness) -> bool:
    """Creates the bucket, like a process that is killed before it fills it."""
    if not harness.bus.connected:
        return False
    return not await harness.bucket.ensure()
