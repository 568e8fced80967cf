"""Buffers that the keeper reads (EXPLAIN): few when nothing is due."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from service.domain.message import month_of
from service.embedded.servers import EmbeddedServers
from service.postgres import expiry, old_partitions
from service.postgres import keeper as rows
from service.postgres.audit import event_values
from service.postgres.expiry import Bounds, ExpiredBox, Scope
from service.postgres.keeper import BoxKey, StoredObject
from service.postgres.months import ensure_month
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.postgres.verification import list_audio
from service.workers.keeper.rule_scan import EPOCH
from tests.support.builders import NOW, Box, a_vmbox
from tests.support.database import execute

LONG_AGO = NOW - timedelta(days=300)
MESSAGES = 50_000
MONTH = month_of(NOW)

_FILL = """
INSERT INTO messages (
    account_id, month, id, vmbox_id, folder, counted, received_at, length_ms, caller_id_number,
    caller_id_name, call_id, from_uri, to_uri, audio_key, audio_type, audio_size, audio_sha256
)
SELECT $1, $2::integer, gen_random_uuid(), $3, 'saved', true, $4, 4200,
    '1001', 'Ann', 'call', '1001@example.com', '100@example.com', 'key', 'audio/mpeg', 5, '\\x00'
FROM generate_series(1, $5::integer) AS n
"""


class ExplainingConnection:
    """Connection that explains each statement with its arguments, then runs it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.buffers = 0
        self.scanned: set[str] = set()

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        explained = await self._connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values
        )
        plan = msgspec.json.decode(explained)[0]["Plan"]
        self.buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self._note(plan)
        return await self._connection.fetch(statement, *values)

    async def fetchval(self, statement: str, *values: object) -> Any:
        result = await self.fetch(statement, *values)
        return result[0][0] if result else None

    async def execute(self, statement: str, *values: object) -> str:
        return f"DONE {len(await self.fetch(statement, *values))}"

    def _note(self, node: dict[str, Any]) -> None:
        # A catalog of one page may be scanned.
        is_catalog = node.get("Relation Name", "").startswith("pg_")
        if node["Node Type"] == "Seq Scan" and node["Actual Loops"] and not is_catalog:
            self.scanned.add(node["Relation Name"])
        for below in node.get("Plans", []):
            self._note(below)


class LargeDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """Database with many messages in one box, none of them due."""

    connection: asyncpg.Connection
    box: Box

    @property
    def key(self) -> BoxKey:
        return BoxKey(self.box.account_id, self.box.vmbox_id)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def large_database(
    servers: EmbeddedServers, migrated_template: str
) -> AsyncIterator[LargeDatabase]:
    name = f"test_{uuid4().hex}"
    await execute(servers, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    owner = await asyncpg.connect(
        servers.postgres.url(name, "aftertone_owner"),
        server_settings={"plan_cache_mode": "force_custom_plan"},
    )
    box = await _filled(owner)
    yield LargeDatabase(connection=owner, box=box)
    await owner.close()
    await execute(servers, f"DROP DATABASE {name} WITH (FORCE)", role="postgres")


async def _filled(owner: asyncpg.Connection) -> Box:
    await owner.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: msgspec.json.encode(value).decode(),
        decoder=msgspec.json.decode,
    )
    await ensure_month(owner, month_of(LONG_AGO))
    box = await a_vmbox(owner)
    at = NOW.replace(day=1)
    await owner.execute(_FILL, box.account_id, MONTH, box.vmbox_id, at, MESSAGES)
    await owner.execute("VACUUM ANALYZE messages")
    return box


async def explained(
    large_database: LargeDatabase, what: Any, *arguments: object
) -> tuple[ExplainingConnection, Any]:
    explaining = ExplainingConnection(large_database.connection)
    result = await what(cast("Connection", explaining), *arguments)
    return explaining, result


async def list_expired(
    connection: Connection, month: int, before: datetime, limit: int
) -> list[ExpiredBox]:
    return await expiry.list_expired(connection, month, Bounds(EPOCH, before), limit)


@pytest.mark.parametrize("month", [MONTH, month_of(LONG_AGO)])
@pytest.mark.parametrize("what", [list_expired, rows.list_abandoned, rows.purge_messages])
async def test_a_month_without_due_messages_reads_few_buffers(
    large_database: LargeDatabase, what: Any, month: int
) -> None:
    read, result = await explained(large_database, what, month, NOW - timedelta(days=31), 500)
    assert result == []
    assert read.buffers <= 8
    # An empty month may be read as it is; the other has rows, all of them younger.
    assert month != MONTH or not read.scanned


@pytest.mark.parametrize("month", [MONTH, month_of(LONG_AGO)])
async def test_a_month_that_is_not_overdue_reads_few_buffers(
    large_database: LargeDatabase, month: int
) -> None:
    async def check(connection: Connection) -> tuple[bool, bool]:
        ago = NOW - timedelta(days=40)
        times = {"received_before": ago, "changed_before": ago, "removed_before": ago}
        is_overdue = await old_partitions.is_month_overdue(connection, month, **times)
        return await old_partitions.has_messages(connection, month), is_overdue

    read, result = await explained(large_database, check)
    assert result == (month == MONTH, False)
    assert read.buffers <= 16


async def test_a_page_of_a_verification_reads_its_rows(large_database: LargeDatabase) -> None:
    last = UUID(int=2**128 - 1)
    for after in (UUID(int=0), UUID(int=2**127)):
        read, page = await explained(
            large_database, list_audio, MONTH, (large_database.box.account_id, after), last, 500
        )
        assert len(page) == 500
        # The row, its index entry, and the counts row of its box.
        assert read.buffers <= 5 * len(page)
        assert not {name for name in read.scanned if name.startswith("messages")}


async def test_deleted_boxes_that_are_not_due_read_few_buffers(
    large_database: LargeDatabase,
) -> None:
    read, result = await explained(large_database, rows.list_boxes_to_empty, NOW, {}, 500)
    assert (result, read.buffers <= 4) == ([], True)
    read, purged = await explained(large_database, rows.purge_boxes, 500)
    # An entry of each month's index, at most.
    assert purged == 0
    assert read.buffers <= 40


async def test_no_deleted_account_reads_few_buffers(large_database: LargeDatabase) -> None:
    start = (LONG_AGO, UUID(int=0))
    read, result = await explained(large_database, rows.list_deleted_accounts, NOW, start, 500)
    assert (result, read.buffers <= 4) == ([], True)


@pytest.mark.parametrize("scope", list(Scope))
async def test_rules_without_due_messages_read_few_buffers(
    large_database: LargeDatabase, scope: Scope
) -> None:
    key, before = large_database.key, NOW - timedelta(days=31)
    bounds = {account_id: Bounds(EPOCH, before) for account_id in (key.account_id, uuid4())}
    of_accounts = partial(expiry.list_expired_of_accounts, limit=500, scope=scope)
    read, result = await explained(large_database, of_accounts, MONTH, bounds)
    assert (result, read.scanned) == ([], set())
    assert read.buffers <= 20
    boxes = {key: before, BoxKey(uuid4(), uuid4()): before}
    of_boxes = partial(expiry.filter_expired_boxes, scope=scope)
    read, result = await explained(large_database, of_boxes, MONTH, boxes)
    assert (result, read.scanned) == ([], set())
    assert read.buffers <= 20
    # Messages that other rules keep longer: those before the end of the last run are not read.
    excluded = partial(
        expiry.list_expired, limit=500, scope=scope, vmbox_ids=[large_database.box.vmbox_id]
    )
    window = Bounds(NOW + timedelta(hours=1), NOW + timedelta(hours=2))
    read, result = await explained(large_database, excluded, MONTH, window)
    assert (result, read.scanned) == ([], set())
    assert read.buffers <= 8


async def test_due_messages_are_found_through_an_index(large_database: LargeDatabase) -> None:
    transaction = large_database.connection.transaction()
    await transaction.start()
    try:
        box = await a_vmbox(large_database.connection)
        old = NOW.replace(day=1) - timedelta(days=90)
        await large_database.connection.execute(_FILL, box.account_id, MONTH, box.vmbox_id, old, 3)
        before = old + timedelta(days=1)
        read, result = await explained(large_database, list_expired, MONTH, before, 500)
        assert [each.key for each in result] == [BoxKey(box.account_id, box.vmbox_id)]
        assert read.buffers <= 16
        await large_database.connection.execute(
            "UPDATE vmbox_counts SET saved_count = 6 WHERE vmbox_id = $1", box.vmbox_id
        )
        key = BoxKey(box.account_id, box.vmbox_id)
        expire = partial(expiry.expire_messages, before=before, deleted_before=before, limit=500)
        read, _ = await explained(large_database, expire, key, MONTH)
        assert not {name for name in read.scanned if name.startswith("messages")}
        # Three messages, each with its index entries and an event.
        assert read.buffers <= 100
    finally:
        await transaction.rollback()


async def test_an_object_is_looked_up_by_the_key_of_its_message(
    large_database: LargeDatabase,
) -> None:
    result = await large_database.connection.fetch("SELECT id FROM messages LIMIT 500")
    objects = [
        StoredObject(key="key", account_id=large_database.box.account_id, owner_id=row["id"])
        for row in result
    ]
    objects += [
        StoredObject(key=f"key {n}", account_id=UUID(int=n), owner_id=uuid4()) for n in range(500)
    ]
    read, orphans = await explained(large_database, rows.find_orphans, MONTH, objects)
    assert orphans == [item.key for item in objects[500:]]
    assert read.buffers <= 5 * len(objects)
    assert read.scanned == set()


async def test_a_month_of_expiry_names_one_partition(large_database: LargeDatabase) -> None:
    text, *values = load("expiry")["expire_messages"].bind(
        account_id=large_database.box.account_id,
        vmbox_id=large_database.box.vmbox_id,
        month=MONTH,
        before=NOW,
        deleted_before=NOW,
        limit=500,
        reason="retention",
        **event_values(),
    )
    plan = await large_database.connection.fetch(f"EXPLAIN {text}", *values)
    text = "\n".join(row[0] for row in plan)
    months = {word for word in text.split() if word.startswith("messages_2")}
    assert {name[:15] for name in months} == {f"messages_{MONTH}"}
