"""Many clients on one box at once: counts equal a recount, and the events lead to them."""

import random
from contextlib import suppress
from itertools import pairwise

import asyncpg
import pytest_asyncio

from service.domain.errors import MessageNotFound, TooManyPending, VmboxFull, VmboxNotFound
from service.domain.message import Folder
from service.postgres import messages as rows
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import delete_vmbox
from tests.support.builders import (
    RETAINED_SINCE,
    Box,
    a_vmbox,
    all_at_once,
    audit,
    counts_of,
    some_audio,
    stored,
)


@pytest_asyncio.fixture(loop_scope="session")
async def box(database: Database) -> Box:
    async with database.connection() as connection:
        return await a_vmbox(connection)


async def filed(connection: Connection, place: MessageKey, folder: Folder) -> None:
    await rows.change_folder(connection, place, folder, retained_since=RETAINED_SINCE, reason="api")


async def test_one_message_moved_by_16_clients_at_once_is_counted_once(
    database: Database, box: Box, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        place = await stored(connection, box)

    async def work(connection: Connection, dice: random.Random) -> None:
        for _ in range(40):
            await filed(connection, place, dice.choice(list(Folder)))

    await all_at_once(database, work)
    events = await audit(inspector, box)
    changes = [event for event in events if event.type == "message.folder_changed"]
    assert len(changes) > 300
    for before, after in pairwise(changes):
        assert after.data["from"] == before.data["to"]


async def test_16_clients_store_into_one_box_at_once(
    database: Database, box: Box, inspector: asyncpg.Connection
) -> None:
    async def work(connection: Connection, dice: random.Random) -> None:
        for _ in range(25):
            await stored(connection, box, folder=dice.choice(list(Folder)))

    await all_at_once(database, work)
    assert len(await audit(inspector, box)) == 1 + 16 * 25


async def test_a_limit_holds_when_16_clients_store_at_once_and_has_one_event(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        limited = await a_vmbox(connection, max_message_count=40)
    refused = []

    async def work(connection: Connection, _: random.Random) -> None:
        for _attempt in range(5):
            try:
                await stored(connection, limited)
            except VmboxFull as full:
                refused.append(full)

    await all_at_once(database, work)
    types = [event.type for event in await audit(inspector, limited)]
    assert (types.count("message.new"), types.count("vmbox.full")) == (40, 1)
    assert len(refused) == 40
    assert (await counts_of(inspector, limited)).new_count == 40


async def test_no_more_than_a_hundred_wait_for_audio_when_16_clients_store_at_once(
    database: Database, box: Box, inspector: asyncpg.Connection
) -> None:
    async def work(connection: Connection, _: random.Random) -> None:
        for _attempt in range(8):
            with suppress(TooManyPending):
                await stored(connection, box, audio=None)

    await all_at_once(database, work)
    assert (await counts_of(inspector, box)).pending_count == 100
    await audit(inspector, box)


async def test_concurrent_changes_of_one_box_keep_its_counts(
    database: Database, box: Box, inspector: asyncpg.Connection
) -> None:
    places: list[MessageKey] = []

    async def act(connection: Connection, dice: random.Random) -> None:
        if not places or dice.random() < 0.4:
            audio = dice.choice([None, some_audio()])
            places.append(await stored(connection, box, audio=audio))
            return
        # The newest few, so that clients meet on them.
        place = dice.choice(places[-8:])
        match dice.randrange(4):
            case 0:
                await rows.remove_message(connection, place, reason="api")
            case 1:
                await rows.attach_audio(
                    connection,
                    place,
                    some_audio(),
                    length_ms=1,
                    retained_since=RETAINED_SINCE,
                    max_message_count=None,
                )
            case _:
                await filed(connection, place, dice.choice(list(Folder)))

    async def work(connection: Connection, dice: random.Random) -> None:
        for _ in range(40):
            with suppress(MessageNotFound, TooManyPending):
                await act(connection, dice)

    await all_at_once(database, work)
    types = {event.type for event in await audit(inspector, box)}
    assert types > {
        "message.new",
        "message.folder_changed",
        "message.removed",
        "message.audio_replaced",
    }


async def test_a_message_removed_while_it_is_moved_is_removed_once(
    database: Database, box: Box, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        places = [await stored(connection, box) for _ in range(30)]
    removed: list[MessageKey] = []

    async def work(connection: Connection, dice: random.Random) -> None:
        for place in places:
            with suppress(MessageNotFound):
                if dice.random() < 0.2:
                    await rows.remove_message(connection, place, reason="api")
                    removed.append(place)
                else:
                    await filed(connection, place, dice.choice([Folder.NEW, Folder.SAVED]))

    await all_at_once(database, work)
    events = await audit(inspector, box)
    gone = [event for event in events if event.type == "message.removed"]
    assert len(gone) == len(removed) == len(set(removed))


async def test_audio_attached_by_many_at_once_completes_a_message_once(
    database: Database, box: Box, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        place = await stored(connection, box, audio=None)
    replaced: list[str | None] = []
    value: list[str] = []

    async def work(connection: Connection, _: random.Random) -> None:
        audio = some_audio()
        value.append(audio.key)
        _message, key = await rows.attach_audio(
            connection,
            place,
            audio,
            length_ms=1,
            retained_since=RETAINED_SINCE,
            max_message_count=None,
        )
        replaced.append(key)

    await all_at_once(database, work)
    types = [event.type for event in await audit(inspector, box)]
    assert (types.count("message.new"), types.count("message.audio_replaced")) == (1, 15)
    kept = await rows.get_message(inspector, place)
    assert kept.audio is not None
    # Every other object was handed back once, so that it can be deleted.
    assert sorted(key or "" for key in replaced) == sorted({*value, ""} - {kept.audio.key})


async def test_a_box_deleted_while_16_clients_store_into_it_keeps_nothing_in_its_counts(
    database: Database, box: Box, inspector: asyncpg.Connection
) -> None:
    answered = 0

    async def work(connection: Connection, dice: random.Random) -> None:
        nonlocal answered
        for attempt in range(15):
            if attempt == 5 and dice.random() < 0.2:
                with suppress(VmboxNotFound):
                    await delete_vmbox(connection, box.account_id, box.vmbox_id)
            with suppress(VmboxNotFound):
                place = await stored(connection, box)
                answered += 1
                await filed(connection, place, Folder.SAVED)

    await all_at_once(database, work)
    events = await audit(inspector, box)
    assert events[-1].type == "vmbox.deleted"
    assert events[-1].data["messages_removed"] == answered > 0
    assert [event.type for event in events].count("vmbox.deleted") == 1
