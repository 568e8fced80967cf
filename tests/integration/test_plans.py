"""Plans of the statements: few buffers and few partitions, however much is stored.

Most tests also run over an account that came after statistics were last taken. The planner takes it
for all but empty, which is where a plan that only looks good shows itself.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence, Sized
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from service.domain.batch import Reason
from service.domain.errors import MessageExpired
from service.domain.message import (
    Folder,
    MessageCursor,
    MessageId,
    RemovedMessage,
    TrashCursor,
    month_of,
)
from service.domain.page import NameCursor
from service.domain.retention import DEFAULT_RETENTION
from service.domain.vmbox import VmboxTrashCursor
from service.embedded.servers import EmbeddedServers
from service.postgres import batches, message_lists, recordings, trash
from service.postgres import messages as rows
from service.postgres.accounts import (
    find_facts_by_api_key,
    find_facts_by_name,
    find_facts_by_realm,
    find_name_and_realm_conflicts,
)
from service.postgres.message_lists import Window
from service.postgres.messages import MessageKey
from service.postgres.pins import record_pin_check
from service.postgres.pool import Connection, Database
from service.postgres.retention import get_vmbox_rule, list_vmbox_rules, read_rules
from service.postgres.vmbox_trash import begin_purge, list_vmbox_trash
from service.postgres.vmboxes import delete_vmbox, get_vmbox, list_vmboxes
from tests.support.builders import Box, a_vmbox, some_audio, stored
from tests.support.large_database import (
    NEW_UNTIL,
    SINCE,
    UNTIL,
    LargeDatabase,
    Plan,
    explained,
    open_large_database,
    undone,
)

# A page of 50, and the message that begins the next one.
PAGE = 51
LAST_ID = UUID(int=2**128 - 1)

# The rows of a page, seven months of three index levels, and the box.
FEW_BUFFERS = 40

# Postgres has room for max_locks_per_transaction (64) locks of each of max_connections.
FEW_LOCKS = 20

# The partitions that a transaction has locked itself or by an index, and the number of its locks.
_LOCKED = """
SELECT array_agg(DISTINCT t.relname::text ORDER BY t.relname::text) FILTER (WHERE t.relispartition)
    AS partitions, count(*) AS locks
FROM pg_locks AS l
LEFT JOIN pg_index AS i ON i.indexrelid = l.relation
JOIN pg_class AS t ON t.oid = coalesce(i.indrelid, l.relation)
WHERE l.pid = pg_backend_pid() AND t.relnamespace = 'public'::regnamespace
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def large_database(
    servers: EmbeddedServers, migrated_template: str
) -> AsyncIterator[LargeDatabase]:
    async with open_large_database(servers, migrated_template) as filled:
        yield filled


def window(folder: Folder | None = None, days_back: int = 0, *, until: datetime = UNTIL) -> Window:
    begin = until - timedelta(days=days_back)
    return Window(
        since=SINCE,
        until=until,
        months=(month_of(SINCE), month_of(until)),
        folder=folder,
        start=MessageCursor(month_of(begin), begin, LAST_ID),
        limit=PAGE,
    )


async def page_plan(
    large_database: LargeDatabase,
    box: Box,
    page: Window,
    *,
    whole_account: bool = False,
    new_statistics: bool = False,
) -> tuple[Plan, int]:
    """The plan of a page, and how many rows it has."""

    async def read(connection: Connection) -> int:
        if new_statistics:
            await connection.execute("ANALYZE messages")
        if whole_account:
            return len(await message_lists.list_account_messages(connection, box.account_id, page))
        return len(
            await message_lists.list_messages(connection, box.account_id, box.vmbox_id, page)
        )

    plan, result = await explained(large_database.database, read)
    return plan, cast(int, result)


WHOSE = pytest.mark.parametrize("whose", ["few", "many", "late"])
FOLDERS = pytest.mark.parametrize(("folder", "hits"), [(None, PAGE), (Folder.NEW, 2)])
WHOLE_ACCOUNT = pytest.mark.parametrize("whole_account", [False, True], ids=["box", "account"])


@WHOSE
@WHOLE_ACCOUNT
@FOLDERS
async def test_a_first_page_costs_the_same_few_buffers_however_many_messages_there_are(
    large_database: LargeDatabase, whose: str, whole_account: bool, folder: Folder | None, hits: int
) -> None:
    plan, result = await page_plan(
        large_database, getattr(large_database, whose), window(folder), whole_account=whole_account
    )
    assert result == hits
    assert plan.buffers <= FEW_BUFFERS


@WHOSE
@WHOLE_ACCOUNT
@FOLDERS
async def test_a_first_page_costs_no_more_in_the_first_minutes_of_a_month(
    large_database: LargeDatabase, whose: str, whole_account: bool, folder: Folder | None, hits: int
) -> None:
    page = window(folder, until=NEW_UNTIL)
    plan, result = await page_plan(
        large_database, getattr(large_database, whose), page, whole_account=whole_account
    )
    assert result == hits
    assert plan.buffers <= FEW_BUFFERS


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_page_of_a_quiet_box_reads_no_message_of_a_busy_one(
    large_database: LargeDatabase, oldest_first: bool
) -> None:
    page = window()
    if oldest_first:
        start = MessageCursor(month_of(SINCE), SINCE, UUID(int=0))
        page = msgspec.structs.replace(page, start=start, oldest_first=True)
    plan, result = await page_plan(large_database, large_database.quiet, page)
    assert result == 3
    assert plan.buffers <= FEW_BUFFERS


@WHOSE
@WHOLE_ACCOUNT
@pytest.mark.parametrize("days_back", [45, 100, 150])
async def test_a_deep_page_costs_no_more_than_the_first(
    large_database: LargeDatabase, whose: str, whole_account: bool, days_back: int
) -> None:
    page = window(days_back=days_back)
    plan, result = await page_plan(
        large_database, getattr(large_database, whose), page, whole_account=whole_account
    )
    assert result >= 10
    assert plan.buffers <= FEW_BUFFERS


@pytest.mark.parametrize("whose", ["many", "late"])
@WHOLE_ACCOUNT
async def test_a_page_is_read_in_order_and_stops_in_the_month_that_fills_it(
    large_database: LargeDatabase, whose: str, whole_account: bool
) -> None:
    page = window(days_back=100)
    plan, _ = await page_plan(
        large_database, getattr(large_database, whose), page, whole_account=whole_account
    )
    assert not plan.kinds & {"Sort", "Incremental Sort", "Seq Scan", "Bitmap Heap Scan"}
    assert len(plan.months_read) <= 2


@WHOLE_ACCOUNT
@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("new_statistics", [False, True])
async def test_a_page_that_stays_short_stops_where_its_window_ends(
    large_database: LargeDatabase, whole_account: bool, oldest_first: bool, new_statistics: bool
) -> None:
    since = UNTIL.replace(day=1, hour=12) - timedelta(days=1)
    until = since + timedelta(hours=1)
    start = MessageCursor(month_of(until), until, LAST_ID)
    page = msgspec.structs.replace(
        window(),
        since=since,
        until=until,
        months=(month_of(since), month_of(until)),
        start=MessageCursor(month_of(since), since, UUID(int=0)) if oldest_first else start,
        oldest_first=oldest_first,
    )
    plan, result = await page_plan(
        large_database,
        large_database.many,
        page,
        whole_account=whole_account,
        new_statistics=new_statistics,
    )
    assert 10 < result < PAGE
    assert plan.buffers <= FEW_BUFFERS


@WHOSE
@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_page_of_few_months_that_is_planned_once_reads_and_locks_little(
    large_database: LargeDatabase, whose: str, oldest_first: bool
) -> None:
    box: Box = getattr(large_database, whose)
    since = UNTIL - timedelta(days=100)
    start = MessageCursor(month_of(since), since, UUID(int=0)) if oldest_first else window().start
    page = msgspec.structs.replace(
        window(),
        since=since,
        months=(month_of(since), month_of(UNTIL)),
        start=start,
        oldest_first=oldest_first,
    )

    async def read(connection: Connection) -> int:
        return len(
            await message_lists.list_messages(connection, box.account_id, box.vmbox_id, page)
        )

    plan, result = await explained(large_database.hot, read)
    assert result == PAGE
    assert plan.buffers <= FEW_BUFFERS
    assert not plan.kinds & {"Sort", "Incremental Sort", "Seq Scan", "Bitmap Heap Scan"}
    partitions, locks = await locked_by(large_database.hot, read)
    assert partitions == sorted(f"messages_{month}" for month in page.named_months)
    assert locks <= FEW_LOCKS


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, (202602, 202601, 202512, 202511)),
        ({"oldest_first": True}, (202602,)),
        ({"months": (202511, 202604), "oldest_first": True}, (202604, 202603, 202602)),
        ({"months": (202508, 202603)}, ()),
        ({"months": (197001, 202603)}, ()),
        ({"months": (202603, 202604)}, ()),
        ({"folder": Folder.NEW}, ()),
        ({"folder": Folder.SAVED}, (202602, 202601, 202512, 202511)),
    ],
)
def test_a_page_names_the_months_from_its_start(
    changes: dict[str, Any], named: tuple[int, ...]
) -> None:
    page = Window(
        since=SINCE,
        until=UNTIL,
        months=(202511, 202602),
        folder=None,
        start=MessageCursor(202602, datetime(2026, 2, 3, tzinfo=UTC), LAST_ID),
        limit=PAGE,
    )
    changed = msgspec.structs.replace(page, **changes)
    assert changed.named_months == named


@pytest.mark.parametrize("whose", ["many", "late"])
@pytest.mark.parametrize("after", ["", "Box 0500"])
async def test_a_page_of_boxes_reads_the_boxes_of_the_page(
    large_database: LargeDatabase, whose: str, after: str
) -> None:
    box: Box = getattr(large_database, whose)
    start = NameCursor(after, UUID(int=0))
    plan, result = await explained(
        large_database.database,
        lambda connection: list_vmboxes(connection, box.account_id, start, 11),
    )
    assert len(cast(list[object], result)) == 11
    assert plan.buffers <= 60


ById = Callable[[Connection, MessageKey], Awaitable[object]]


async def hear_one(connection: Connection, place: MessageKey) -> object:
    return await recordings.get_recording(connection, place, None)


async def file_one(connection: Connection, place: MessageKey) -> object:
    return await rows.change_folder(
        connection, place, Folder.DELETED, retained_since=SINCE, reason="api"
    )


async def remove_one(connection: Connection, place: MessageKey) -> object:
    return await rows.remove_message(connection, place, reason="api")


async def attach_to_one(connection: Connection, place: MessageKey) -> object:
    return await rows.attach_audio(
        connection,
        place,
        some_audio(),
        length_ms=1,
        retained_since=SINCE,
        max_message_count=None,
    )


async def store_one(connection: Connection, place: MessageKey) -> object:
    return await stored(
        connection, Box(place.account_id, place.vmbox_id), received_at=UNTIL, retained=True
    )


async def find_one_that_is_expired(connection: Connection, place: MessageKey) -> object:
    with pytest.raises(MessageExpired):
        await rows.change_folder(
            connection, place, Folder.SAVED, retained_since=UNTIL, reason="api"
        )
    return None


POOL = pytest.mark.parametrize("pool", ["database", "hot"])
BY_ID = pytest.mark.parametrize(
    "act",
    [
        rows.get_message,
        hear_one,
        file_one,
        remove_one,
        attach_to_one,
        store_one,
        find_one_that_is_expired,
    ],
)


async def some_ids(large_database: LargeDatabase, box: Box, days_back: int = 0) -> list[MessageId]:
    async with large_database.database.connection() as connection:
        page = await message_lists.list_messages(
            connection, box.account_id, box.vmbox_id, window(days_back=days_back)
        )
    return [message.id for message in page]


async def locked_by(
    database: Database, act: Callable[[Connection], Awaitable[object]]
) -> tuple[list[str], int]:
    """Returns the partitions and the number of locks of a statement that was executed before."""
    # More often than a prepared statement is planned with values if the server may choose.
    for _ in range(8):
        async with undone(database) as connection:
            await act(connection)
    async with undone(database) as connection:
        await act(connection)
        locked = await connection.fetchrow(_LOCKED)
    assert locked is not None
    return locked["partitions"], locked["locks"]


@POOL
@BY_ID
async def test_statements_by_id_lock_one_partition(
    large_database: LargeDatabase, pool: str, act: ById
) -> None:
    deep = await some_ids(large_database, large_database.many, 60)
    place = large_database.many.place(deep[25])
    database: Database = getattr(large_database, pool)
    partitions, locks = await locked_by(database, lambda connection: act(connection, place))
    month = month_of(UNTIL) if act is store_one else place.message_id.month
    assert [name for name in partitions if name.startswith("messages_")] == [f"messages_{month}"]
    assert len([name for name in partitions if name.startswith("outbox_")]) <= 1
    assert pool != "hot" or locks <= FEW_LOCKS


@POOL
@WHOSE
@BY_ID
async def test_statements_by_id_read_few_buffers_in_any_account(
    large_database: LargeDatabase, whose: str, act: ById, pool: str
) -> None:
    box: Box = getattr(large_database, whose)
    place = box.place((await some_ids(large_database, box))[2])
    database: Database = getattr(large_database, pool)
    plan, _ = await explained(database, lambda connection: act(connection, place))
    assert plan.buffers <= 60
    assert plan.months_read == sorted(
        {f"messages_{place.message_id.month}"} & set(plan.months_read)
    )


@WHOSE
async def test_batch_statements_read_few_buffers_per_message(
    large_database: LargeDatabase, whose: str
) -> None:
    box: Box = getattr(large_database, whose)
    ids = (await some_ids(large_database, box))[:10]
    where = (box.account_id, box.vmbox_id, ids)
    acts: list[Callable[[Connection], Awaitable[object]]] = [
        lambda connection: batches.get_messages(connection, *where),
        lambda connection: batches.change_folders(
            connection, *where, Folder.DELETED, retained_since=SINCE, reason="api"
        ),
        lambda connection: batches.remove_messages(connection, *where, folder=None, reason="api"),
    ]
    for act in (*acts, *_trash_acts(box, ids)):
        plan, _ = await explained(large_database.database, act)
        assert plan.buffers <= 60 * len(ids)


def _trash_acts(
    box: Box, ids: Sequence[MessageId]
) -> Iterator[Callable[[Connection], Awaitable[object]]]:
    """Statements on the trash, each after the removal of the messages."""
    where = (box.account_id, box.vmbox_id)
    now = datetime.now(UTC)
    last = TrashCursor(now + timedelta(days=1), 999_912, LAST_ID)

    async def list_trash(connection: Connection) -> list[RemovedMessage]:
        return await trash.list_trash(
            connection, *where, last, PAGE, removed_after=SINCE, retained_since=SINCE
        )

    async def restore(connection: Connection) -> list[Reason | None]:
        return await trash.restore_messages(
            connection,
            *where,
            ids,
            removed_after=SINCE,
            removed_until=last.removed_at,
            retained_since=SINCE,
            max_stored_bytes=1_000_000_000,
        )

    async def purge(connection: Connection) -> dict[MessageId, str | None]:
        return await trash.purge_trash(connection, *where, None, 100)

    for use in (list_trash, restore, purge):

        async def act(
            connection: Connection, use: Callable[[Connection], Awaitable[Sized]] = use
        ) -> None:
            await batches.remove_messages(connection, *where, ids, folder=None, reason="api")
            assert len(await use(connection)) == len(ids)

        yield act


async def check_pin(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    await record_pin_check(connection, account_id, vmbox_id, is_valid=True)


async def check_wrong_pin(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    await record_pin_check(connection, account_id, vmbox_id, is_valid=False)


async def list_deleted(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    await delete_vmbox(connection, account_id, vmbox_id)
    last = VmboxTrashCursor(datetime.now(UTC) + timedelta(days=1), LAST_ID)
    (row,) = await list_vmbox_trash(connection, account_id, last, PAGE, deleted_after=SINCE)
    assert row.vmbox_id == vmbox_id


async def begin_purge_of(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    await delete_vmbox(connection, account_id, vmbox_id)
    assert await begin_purge(connection, account_id, None, 100) == [vmbox_id]


async def get_rules(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    assert await get_vmbox_rule(connection, account_id, vmbox_id) is None
    assert await list_vmbox_rules(connection, account_id) == {}
    assert not (await read_rules(connection, DEFAULT_RETENTION)).vmboxes


@pytest.mark.parametrize("whose", ["many", "late"])
@pytest.mark.parametrize(
    "act",
    [get_vmbox, delete_vmbox, check_pin, check_wrong_pin, list_deleted, begin_purge_of, get_rules],
)
async def test_statements_of_one_box_read_few_buffers_in_any_account(
    large_database: LargeDatabase,
    whose: str,
    act: Callable[[Connection, UUID, UUID], Awaitable[object]],
) -> None:
    box: Box = getattr(large_database, whose)
    plan, _ = await explained(
        large_database.database, lambda connection: act(connection, box.account_id, box.vmbox_id)
    )
    assert plan.buffers <= 30


@pytest.mark.parametrize(
    "find",
    [
        partial(find_facts_by_name, name="ACCOUNT 2500"),
        partial(find_facts_by_realm, realm="2500.EXAMPLE"),
        partial(find_facts_by_api_key, lookup=b"2500"),
        partial(find_name_and_realm_conflicts, name="ACCOUNT 2500", realm="2500.EXAMPLE"),
    ],
    ids=lambda find: find.func.__name__,
)
async def test_an_account_is_found_by_an_index_of_what_is_compared(
    large_database: LargeDatabase, find: Callable[[Connection], Awaitable[object]]
) -> None:
    plan, result = await explained(large_database.database, find)
    assert result
    assert plan.buffers <= 10


async def test_no_statement_is_planned_without_its_values(large_database: LargeDatabase) -> None:
    async with large_database.database.connection() as connection:
        assert await connection.fetchval("SHOW plan_cache_mode") == "force_custom_plan"


async def test_a_plan_that_was_made_for_small_tables_is_good_for_large_ones(
    hot: Database, inspector: asyncpg.Connection
) -> None:
    async with hot.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box)
        month = place.message_id.month
        await inspector.execute(f"VACUUM ANALYZE vmbox_counts, vmboxes, messages_{month}")
        await rows.get_message(connection, place)
        await inspector.execute(
            "INSERT INTO vmbox_counts SELECT (jsonb_populate_record(c, jsonb_build_object("
            "'vmbox_id', gen_random_uuid()))).* FROM vmbox_counts AS c, generate_series(1, 5000)"
        )
    plan, _ = await explained(hot, lambda connection: rows.get_message(connection, place))
    assert plan.buffers <= 10


async def test_a_connection_keeps_a_bounded_number_of_plans(hot: Database) -> None:
    async with hot.connection() as connection:
        for number in range(60):
            await connection.fetchval(f"SELECT {number}")
        kept = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements")
    assert kept <= 51
