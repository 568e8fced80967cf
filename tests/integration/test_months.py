"""Months and outbox days: created once, by any process, without blocking others."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from service.domain.errors import MessageNotFound, MonthNotAllowed
from service.domain.message import Folder, month_after, month_of
from service.postgres.messages import (
    Draft,
    MessageKey,
    change_folder,
    get_message,
    insert_message,
    remove_message,
)
from service.postgres.months import ensure_ahead, ensure_month, ensure_outbox_day
from service.postgres.pool import Connection, Database
from service.usecases.partitions import with_partitions
from tests.support.builders import NOW, RETAINED_SINCE, Box, a_draft, a_vmbox, audit, stored
from tests.support.waiting import DEADLINE_S

MONTH = 201207
THEN = NOW.replace(year=2012, month=7, day=4)


async def test_a_month_that_eight_need_at_once_is_created_once(database: Database) -> None:
    async def make() -> bool:
        async with database.connection() as connection:
            return await ensure_month(connection, MONTH)

    made = await asyncio.gather(*(make() for _ in range(8)))
    assert sorted(made) == [False] * 7 + [True]


async def test_a_day_that_eight_need_at_once_is_created_once(database: Database) -> None:
    async def make() -> bool:
        async with database.connection() as connection:
            return await ensure_outbox_day(connection, THEN.date())

    made = await asyncio.gather(*(make() for _ in range(8)))
    assert sorted(made) == [False] * 7 + [True]


async def test_a_month_is_created_while_messages_are_stored(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        async with connection.transaction():
            await stored(connection, box)
            await inspector.execute("SET lock_timeout = '1s'")
            assert await ensure_month(inspector, MONTH)
            assert await ensure_outbox_day(inspector, THEN.date())
        assert await connection.fetchval("SELECT count(*) FROM messages") == 1


async def test_messages_are_stored_and_read_while_a_month_is_created(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with inspector.transaction(), database.connection() as connection:
        assert await ensure_month(inspector, MONTH)
        assert await ensure_outbox_day(inspector, THEN.date())
        async with asyncio.timeout(DEADLINE_S):
            box = await a_vmbox(connection)
            place = await stored(connection, box)
            await get_message(connection, place)


async def store(database: Database, box: Box, draft: Draft) -> None:
    async def insert(connection: Connection) -> None:
        await insert_message(
            connection, box.account_id, box.vmbox_id, draft, max_message_count=None
        )

    await with_partitions(database, draft.id.month, NOW, insert)


async def test_messages_of_a_new_month_stored_at_once_all_land(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        boxes = [await a_vmbox(connection) for _ in range(4)]
    drafts = [a_draft(received_at=THEN, retained=True) for _ in range(8)]
    await asyncio.gather(
        *(store(database, boxes[number % 4], draft) for number, draft in enumerate(drafts))
    )
    rows = await inspector.fetch("SELECT id FROM messages WHERE month = $1", MONTH)
    assert {row["id"] for row in rows} == {draft.id.id for draft in drafts}


async def test_a_missing_day_of_the_outbox_is_created_on_demand(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
    await inspector.execute(f"ALTER TABLE outbox DETACH PARTITION outbox_{NOW:%Y%m%d}")
    await inspector.execute(f"ALTER TABLE outbox_{NOW:%Y%m%d} RENAME TO lost")
    await store(database, box, a_draft())
    await inspector.execute("INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM lost")
    assert [event.type for event in await audit(inspector, box)] == [
        "vmbox.created",
        "message.new",
    ]


async def test_missing_months_are_created_and_returned(inspector: asyncpg.Connection) -> None:
    await ensure_ahead(inspector, NOW)
    later = NOW + timedelta(days=10)
    made = await ensure_ahead(inspector, later)
    days = [later.date() + timedelta(days=26 + day) for day in range(10)]
    assert [name for name in made if name.startswith("outbox")] == [
        f"outbox of {day}" for day in days
    ]
    assert await ensure_ahead(inspector, later) == []


@pytest.mark.parametrize("month", [month_of(NOW), 201212, month_after(201212)])
async def test_a_month_takes_the_messages_of_that_month_alone(
    inspector: asyncpg.Connection, month: int
) -> None:
    await ensure_month(inspector, month)
    bound = await inspector.fetchval(
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = $1",
        f"messages_{month}",
    )
    assert bound == f"FOR VALUES FROM ({month}) TO ({month_after(month)})"


@pytest.mark.parametrize("month", [0, 202600, 202613, 196912, 1000001, -202601])
async def test_an_invalid_month_is_refused(inspector: asyncpg.Connection, month: int) -> None:
    with pytest.raises(MonthNotAllowed):
        await ensure_month(inspector, month)


async def save(connection: Connection, key: MessageKey) -> None:
    await change_folder(
        connection,
        key,
        Folder.SAVED,
        retained_since=RETAINED_SINCE.replace(year=2000),
        reason="api",
    )


async def remove(connection: Connection, key: MessageKey) -> None:
    await remove_message(connection, key, reason="api")


async def test_a_month_is_used_by_its_name_as_soon_as_it_exists(hot: Database) -> None:
    draft = a_draft(received_at=THEN, retained=True)
    async with hot.connection() as connection:
        box = await a_vmbox(connection)
        key = box.place(draft.id)
        for act in (get_message, save, remove):
            with pytest.raises(MessageNotFound):
                await act(connection, key)
    await store(hot, box, draft)
    async with hot.connection() as connection:
        for act in (get_message, save, remove):
            await act(connection, key)
        with pytest.raises(MessageNotFound):
            await get_message(connection, key)


async def test_a_partition_without_rights_is_reached_through_the_table(
    hot: Database, inspector: asyncpg.Connection
) -> None:
    draft = a_draft()
    await inspector.execute(f"REVOKE ALL ON messages_{draft.id.month} FROM aftertone")
    async with hot.connection() as connection:
        box = await a_vmbox(connection)
    await store(hot, box, draft)
    async with hot.connection() as connection:
        await save(connection, box.place(draft.id))
        assert (await get_message(connection, box.place(draft.id))).folder is Folder.SAVED


async def test_a_dropped_month_has_no_messages(
    hot: Database, inspector: asyncpg.Connection
) -> None:
    draft = a_draft(received_at=THEN, retained=True)
    async with hot.connection() as connection:
        box = await a_vmbox(connection)
    await store(hot, box, draft)
    key = box.place(draft.id)
    async with hot.connection() as connection:
        await get_message(connection, key)
    await inspector.execute(f"DROP TABLE messages_{MONTH}")
    for act in (get_message, save, remove):
        async with hot.connection() as connection:
            with pytest.raises(MessageNotFound):
                await act(connection, key)
