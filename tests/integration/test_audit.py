"""The audit in the database: queue, partitions, pages and their plans."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.domain.audit import (
    Action,
    Actor,
    AuditCursor,
    AuditFilter,
    AuditRecord,
    Principal,
    Result,
    acting_as,
    current_actor,
)
from service.domain.message import LAST_ID, month_after, month_of, uuid7
from service.postgres import accounts as account_rows
from service.postgres.audit import AuditScan, insert_records, list_records
from service.postgres.months import ensure_audit_month
from service.postgres.pool import Connection, Database
from service.usecases.audit import SCAN_LIMIT, Audit, AuditQueue
from service.workers.keeper import StepProgress
from service.workers.keeper.partitions import AuditPurge, Partitions
from tests.support.audit_records import actions
from tests.support.builders import NOW, a_vmbox, stored
from tests.support.keeper import at, in_days
from tests.support.large_database import explained
from tests.support.ports import free_port


async def test_a_record_has_the_actor_of_its_task(
    database: Database, inspector: asyncpg.Connection
) -> None:
    actor = Actor(
        principal=Principal.USER,
        principal_id=uuid4(),
        credential_id=uuid4(),
        peer="192.0.2.7",
        request_id="r1",
    )
    async with database.connection() as connection:
        with acting_as(actor):
            box = await a_vmbox(connection)
        await stored(connection, box)
    rows = await inspector.fetch(
        "SELECT * FROM audit WHERE account_id = $1 ORDER BY at, id", box.account_id
    )
    names = ("principal", "principal_id", "credential_id", "peer", "request_id")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("user", actor.principal_id, actor.credential_id, "192.0.2.7", "r1"),
        ("service", None, None, None, None),
    ]
    assert current_actor().principal is Principal.SERVICE


async def test_queued_records_are_written_once_and_late_ones_at_the_end(
    database: Database, inspector: asyncpg.Connection
) -> None:
    account_id, queue = uuid4(), AuditQueue()
    async with queue.write_in_background(database):
        queue.record(Action.SIGN_IN, account_id)
        await queue.flush(database)
        queue.record(Action.SIGN_IN, account_id, Result.UNAUTHORIZED)
    rows = await inspector.fetch(
        "SELECT result FROM audit WHERE account_id = $1 ORDER BY at, id", account_id
    )
    assert [row["result"] for row in rows] == ["success", "unauthorized"]


async def test_records_that_are_added_during_a_write_are_written_next(
    database: Database, inspector: asyncpg.Connection
) -> None:
    account_id, queue = uuid4(), AuditQueue()
    queue.record(Action.SIGN_IN, account_id)
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.flush(database))
        await asyncio.sleep(0)
        queue.record(Action.SIGN_IN, account_id)
    await queue.flush(database)
    assert await actions(inspector, account_id) == ["sign_in"] * 2


async def test_a_flood_of_one_account_leaves_room_for_the_records_of_others(
    database: Database, inspector: asyncpg.Connection
) -> None:
    queue = AuditQueue(max_records=10, max_per_account=4)
    loud, quiet = uuid4(), uuid4()
    for _ in range(100):
        queue.record(Action.REQUEST, loud, Result.FORBIDDEN)
    queue.record(Action.SIGN_IN, quiet)
    await queue.flush(database)
    assert len(await actions(inspector, loud)) == 4
    assert await actions(inspector, quiet) == ["sign_in"]
    queue.record(Action.REQUEST, loud, Result.FORBIDDEN)
    await queue.flush(database)
    assert len(await actions(inspector, loud)) == 5


async def test_a_flood_of_refusals_of_one_peer_is_cut_and_hides_no_other_peer(
    database: Database, inspector: asyncpg.Connection
) -> None:
    account_id, queue = uuid4(), AuditQueue(max_refusals=3)
    loud = Actor(principal=Principal.ANONYMOUS, peer="192.0.2.1")
    other = Actor(principal=Principal.ANONYMOUS, peer="192.0.2.2")
    for _ in range(50):
        queue.record(Action.REQUEST, account_id, Result.UNAUTHORIZED, actor=loud)
    queue.record(Action.REQUEST, account_id, Result.UNAUTHORIZED, actor=other)
    queue.record(Action.SIGN_IN, account_id, actor=loud)
    await queue.flush(database)
    assert await actions(inspector, account_id) == ["request"] * 4 + ["sign_in"]


async def test_records_wait_while_the_database_is_unavailable(
    database: Database, inspector: asyncpg.Connection
) -> None:
    account_id, queue = uuid4(), AuditQueue()
    queue.record(Action.SIGN_IN, account_id)
    nowhere = f"postgresql://aftertone@127.0.0.1:{free_port()}/aftertone"
    async with Database.open(nowhere, size=1, timeout_s=5, name="test") as missing:
        await queue.flush(missing)
    assert await actions(inspector, account_id) == []
    await queue.flush(database)
    assert await actions(inspector, account_id) == ["sign_in"]


async def test_a_record_of_an_unknown_account_belongs_to_the_root(
    database: Database, inspector: asyncpg.Connection
) -> None:
    root_id = uuid4()
    key = account_rows.StoredKey(b"lookup", b"")
    document = {"name": "root", "realm": "root.example.com"}
    async with database.transaction() as connection:
        await account_rows.insert_root(connection, root_id, document, key)
    queue = AuditQueue()
    queue.record(Action.REQUEST, None, Result.UNAUTHORIZED)
    await queue.flush(database)
    assert await actions(inspector, root_id) == ["account.created", "request"]


async def test_a_missing_month_is_created_when_a_record_needs_it(
    database: Database, inspector: asyncpg.Connection
) -> None:
    account_id = uuid4()
    month = month_of(NOW)
    await inspector.execute(f"ALTER TABLE audit DETACH PARTITION audit_{month}")
    await inspector.execute(f"ALTER TABLE audit_{month} RENAME TO lost")
    await inspector.execute(f"ALTER INDEX audit_{month}_pkey RENAME TO lost_pkey")
    queue = AuditQueue()
    queue.record(Action.SIGN_IN, account_id)
    await queue.flush(database)
    assert await actions(inspector, account_id) == ["sign_in"]


@pytest.mark.parametrize("years", [-3, 2])
async def test_the_service_cannot_create_months_far_from_today(
    database: Database, years: int
) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await ensure_audit_month(connection, month_after(month_of(NOW), 12 * years))


async def a_record(connection: asyncpg.Connection, account_id: UUID, moment: datetime) -> None:
    await ensure_audit_month(connection, month_of(moment))
    await connection.execute(
        "INSERT INTO audit (account_id, at, action, principal) VALUES ($1, $2, 'x', 'service')",
        account_id,
        moment,
    )


async def test_the_keeper_creates_months_ahead_and_drops_those_past_their_time(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    account_id = uuid4()
    now = datetime.now(UTC)
    for days in (500, 401, 399, 0):
        await a_record(inspector, account_id, now - timedelta(days=days))
    step = AuditPurge(owner, at(now), timedelta(days=400))
    done = await step.run(StepProgress())
    assert done["months_dropped"] >= 1
    assert done["old_months_kept"] == 0
    left = await inspector.fetch("SELECT at FROM audit WHERE account_id = $1", account_id)
    oldest = min(row["at"] for row in left)
    # A month is dropped as a whole, so records of a month that has not ended yet may be older.
    assert now - timedelta(days=400 + 31) < oldest <= now - timedelta(days=399)
    assert await step.run(StepProgress()) == {"months_dropped": 0, "old_months_kept": 0}
    later = in_days(60)
    await Partitions(owner, later).run(StepProgress())
    assert await inspector.fetchval(
        "SELECT to_regclass($1) IS NOT NULL", f"audit_{month_after(month_of(later()), 3)}"
    )


async def crowded(database: Database, account_id: UUID, count: int, newest: datetime = NOW) -> None:
    """Inserts many records of one account, a second apart; one of them is an account change."""
    records = [
        AuditRecord(
            account_id=account_id,
            at=newest - timedelta(seconds=number),
            id=uuid7(NOW),
            action="account.updated" if number == count - 1 else "message.new",
            result=Result.SUCCESS,
            principal=Principal.SERVICE,
            principal_id=None,
            credential_id=None,
            peer=None,
            request_id=None,
            vmbox_id=None,
            message_id=None,
            target=None,
        )
        for number in range(count)
    ]
    async with database.connection() as connection:
        await insert_records(connection, records)


def audit_over(database: Database) -> Audit:
    return Audit(database, AuditQueue())


async def test_a_rare_record_is_found_over_several_bounded_pages(database: Database) -> None:
    account_id = uuid4()
    await crowded(database, account_id, SCAN_LIMIT + 10)
    audit = audit_over(database)
    selection = AuditFilter(action="account.updated")
    first = await audit.list(account_id, selection, None, 50)
    assert first.items == []
    assert first.next is not None
    second = await audit.list(account_id, selection, first.next, 50)
    assert [record.action for record in second.items] == ["account.updated"]
    assert second.next is None
    everything = [record async for record in audit.iterate(account_id, AuditFilter())]
    assert len({record.id for record in everything}) == len(everything) == SCAN_LIMIT + 10
    assert everything == sorted(everything, key=lambda record: (record.at, record.id))


@pytest.mark.parametrize("is_late", [False, True], ids=["analyzed", "late"])
async def test_a_page_reads_few_buffers_however_many_records_there_are(
    database: Database, inspector: asyncpg.Connection, is_late: bool
) -> None:
    """Also in the first seconds of a month, of an account that came after statistics."""
    account_id = uuid4()
    if not is_late:
        await crowded(database, account_id, 20_000)
    await inspector.execute("ANALYZE audit")
    if is_late:
        beginning = NOW.replace(day=1, hour=0, minute=0, second=0)
        await crowded(database, account_id, 20_000, newest=beginning + timedelta(seconds=10))
    late = AuditCursor(datetime.now(UTC), LAST_ID)
    early = AuditCursor(NOW - timedelta(days=365), UUID(int=0))
    for start, end, ascending in ((late, early.at, False), (early, late.at, True)):

        async def read(
            connection: Connection,
            start: AuditCursor = start,
            end: datetime = end,
            ascending: bool = ascending,
        ) -> AuditScan:
            return await list_records(
                connection,
                account_id,
                AuditFilter(),
                start,
                end,
                51,
                scan_limit=SCAN_LIMIT,
                ascending=ascending,
            )

        plan, scan = await explained(database, read)
        assert len(cast(AuditScan, scan).records) == 51
        assert plan.buffers <= 80
        assert not plan.kinds & {"Sort", "Seq Scan"}
