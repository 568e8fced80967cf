"""Plans of the statements: few buffers and few partitions, however much is stored.

Most tests also run over an account that came after statistics were last taken. The planner takes it
for all but empty, which is where a plan that only looks good shows itself.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import cast
from uuid import UUID

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from service.domain.message import LAST_ID, Folder, MessageCursor, month_of
from service.domain.page import NameCursor
from service.embedded.servers import EmbeddedServers
from service.postgres import batches, message_lists
from service.postgres import messages as rows
from service.postgres.accounts import (
    find_facts_by_api_key,
    find_facts_by_name,
    find_facts_by_realm,
    find_name_and_realm_conflicts,
)
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import delete_vmbox, get_vmbox, list_vmboxes
from tests.support.builders import Box, a_vmbox, stored
from tests.support.large_database import (
    NEW_UNTIL,
    SINCE,
    UNTIL,
    LargeDatabase,
    explained,
    open_large_database,
)
from tests.support.plans import PAGE, locked_by, page_plan, some_ids, window
from tests.support.statements import (
    ById,
    attach_to_one,
    begin_purge_of,
    check_pin,
    check_wrong_pin,
    file_one,
    find_one_that_is_expired,
    get_rules,
    hear_one,
    list_deleted,
    remove_one,
    store_one,
    trash_acts,
)

# The rows of a page, seven months of three index levels, and the box.
FEW_BUFFERS = 40

# Postgres has room for max_locks_per_transaction (64) locks of each of max_connections. The first
# event of a session locks all indexes of `accounts`.
FEW_LOCKS = 24


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def large_database(
    servers: EmbeddedServers, migrated_template: str
) -> AsyncIterator[LargeDatabase]:
    async with open_large_database(servers, migrated_template) as filled:
        yield filled


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
    for act in (*acts, *trash_acts(box, ids)):
        plan, _ = await explained(large_database.database, act)
        assert plan.buffers <= 60 * len(ids)


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
