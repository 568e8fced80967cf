"""Partitions: creation ahead, dropped outbox days; deletion of tokens and idempotency keys."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from service.postgres.keeper import delete_expired_tokens, delete_old_claims
from service.postgres.months import ensure_ahead, ensure_outbox_day
from service.postgres.old_partitions import list_outbox_days
from service.postgres.pool import Database
from service.workers.keeper import StepProgress
from service.workers.keeper.old_rows import OldRows
from service.workers.keeper.partitions import Partitions
from tests.support.builders import a_vmbox
from tests.support.database import TestDatabase
from tests.support.keeper import at, in_days

TODAY = datetime.now(UTC).date()
NOON = datetime.now(UTC).replace(hour=12)


@pytest_asyncio.fixture(loop_scope="session")
async def impatient(test_database: TestDatabase) -> AsyncIterator[Database]:
    """Connections of the owner with a statement timeout of two seconds."""
    async with Database.open(
        test_database.owner_url, size=2, timeout_s=2, name="test keeper"
    ) as opened:
        yield opened


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


async def an_old_day(
    connection: asyncpg.Connection,
    days: int,
    *,
    published_days_ago: int | None,
    sent: bool = True,
) -> str:
    """Creates an outbox day with two events. Returns the name of its partition."""
    day = days_ago(days)
    await ensure_outbox_day(connection, day)
    for sequence in (1, 2):
        await connection.execute(
            """
            INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, day,
                published_at, published_seq, stream_seq)
            VALUES ($1, $1, $2, 1, 'vmbox.updated', '{}', $3, now() - $4 * interval '1 day',
                $5, $6)
            """,
            uuid4(),
            sequence,
            day,
            published_days_ago if sequence == 2 else days,
            None if published_days_ago is None and sequence == 2 else sequence,
            None if (published_days_ago is None or not sent) and sequence == 2 else sequence,
        )
    return f"outbox_{day:%Y%m%d}"


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch("SELECT relname FROM pg_class WHERE relkind = 'r'")
    return {row["relname"] for row in rows}


def partitions(owner: Database) -> Partitions:
    return Partitions(owner, at(NOON))


async def test_only_days_completely_published_a_week_ago_are_dropped(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    spent = [await an_old_day(inspector, days, published_days_ago=days) for days in (9, 12)]
    young = await an_old_day(inspector, 7, published_days_ago=7)
    empty = f"outbox_{days_ago(20):%Y%m%d}"
    await ensure_outbox_day(inspector, days_ago(20))
    await ensure_ahead(inspector, NOON)
    done = await partitions(owner).run(StepProgress())
    assert done == {"partitions_created": 0, "days_dropped": 3, "old_days_kept": 0}
    left = await tables(inspector)
    assert left.isdisjoint({*spent, empty})
    assert young in left
    assert await inspector.fetchval("SELECT count(*) FROM outbox") == 2


@pytest.mark.parametrize(
    ("published_days_ago", "sent"),
    [(3, True), (None, True), (10, False)],
    ids=["published late", "never published", "to be sent again"],
)
async def test_days_after_a_kept_day_are_kept_too(
    owner: Database, inspector: asyncpg.Connection, published_days_ago: int | None, sent: bool
) -> None:
    """A cursor in the kept day must not skip dropped days without a reset."""
    before = await an_old_day(inspector, 11, published_days_ago=11)
    kept = await an_old_day(inspector, 10, published_days_ago=published_days_ago, sent=sent)
    after = await an_old_day(inspector, 9, published_days_ago=9)
    await ensure_ahead(inspector, NOON)
    done = await partitions(owner).run(StepProgress())
    assert done == {"partitions_created": 0, "days_dropped": 1, "old_days_kept": 2}
    left = await tables(inspector)
    assert before not in left
    assert left >= {kept, after}


async def test_partitions_are_created_ahead_of_time(owner: Database) -> None:
    later = Partitions(owner, in_days(40))
    made = (await later.run(StepProgress()))["partitions_created"]
    # From the day before to 35 days after, and the month or two that have begun, of two tables.
    assert made in {37 + 2 * 1, 37 + 2 * 2}
    assert (await later.run(StepProgress()))["partitions_created"] == 0


async def test_a_long_transaction_delays_a_drop_but_blocks_no_other(
    owner: Database, impatient: Database, inspector: asyncpg.Connection
) -> None:
    name = await an_old_day(inspector, 9, published_days_ago=9)
    other = await an_old_day(inspector, 10, published_days_ago=10)
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        # Far shorter than the drop may wait: a statement behind it in the lock queue would fail.
        await connection.execute("SET lock_timeout = '100ms'")
        async with inspector.transaction():
            await inspector.fetch("SELECT FROM outbox LIMIT 1")
            dropping = asyncio.create_task(partitions(impatient).run(StepProgress()))
            while not dropping.done():
                await connection.fetch("SELECT FROM outbox LIMIT 1")
                await a_vmbox(connection, box.account_id)
                await connection.execute("UPDATE outbox SET traceparent = 'seen'")
            assert (await dropping)["days_dropped"] == 0
            assert await tables(inspector) >= {name, other}
            days = await list_outbox_days(connection, TODAY - timedelta(days=7))
            assert sorted(day.state for day in days) == ["attached", "detaching"]
            # What was begun does not keep other days from being made.
            await ensure_outbox_day(connection, days_ago(-50))
    assert (await partitions(owner).run(StepProgress()))["days_dropped"] == 2
    assert (await tables(inspector)).isdisjoint({name, other})


async def test_a_drop_killed_halfway_is_completed_later(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    name = await an_old_day(inspector, 9, published_days_ago=9)
    await inspector.execute(f"ALTER TABLE outbox DETACH PARTITION {name} CONCURRENTLY")
    assert name in await tables(inspector)
    assert (await partitions(owner).run(StepProgress()))["days_dropped"] == 1
    assert name not in await tables(inspector)


async def test_two_keepers_at_once_drop_every_day(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    names = {await an_old_day(inspector, days, published_days_ago=days) for days in range(9, 14)}
    await asyncio.gather(*(partitions(owner).run(StepProgress()) for _ in range(2)))
    await partitions(owner).run(StepProgress())
    assert (await tables(inspector)).isdisjoint(names)


async def test_revoked_tokens_are_deleted_after_they_expire(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    for minutes in (-300, -61, -30, 60):
        await inspector.execute(
            "INSERT INTO revoked_tokens VALUES ($1, now() + $2 * interval '1 minute')",
            uuid4(),
            minutes,
        )
    step = OldRows(owner, in_days(0), delete_expired_tokens, timedelta(hours=1), batch=1)
    assert await step.run(StepProgress()) == {"rows_deleted": 2}
    left = await inspector.fetch("SELECT expires_at < now() AS expired FROM revoked_tokens")
    assert sorted(row["expired"] for row in left) == [False, True]


async def test_api_keys_are_deleted_after_their_revocation(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    for name, minutes in (("old", -61), ("recent", -30), ("valid", None)):
        await inspector.execute(
            """
            INSERT INTO api_keys (account_id, key_id, lookup, name, scopes, revoked_at)
            VALUES ($1, $1, uuid_send($1), $2, '{}', now() + $3 * interval '1 minute')
            """,
            uuid4(),
            name,
            minutes,
        )
    step = OldRows(owner, in_days(0), delete_expired_tokens, timedelta(hours=1))
    await step.run(StepProgress())
    left = await inspector.fetch("SELECT name FROM api_keys ORDER BY name")
    assert [row["name"] for row in left] == ["recent", "valid"]


@pytest.mark.parametrize("batch", [1, 1_000])
async def test_idempotency_keys_are_deleted_after_a_day_unless_in_use(
    owner: Database, inspector: asyncpg.Connection, batch: int
) -> None:
    for key, age_h, leased_h in (("old", 25, -24), ("in use", 25, 1), ("young", 23, -23)):
        await inspector.execute(
            """
            INSERT INTO idempotency (account_id, vmbox_id, key, fingerprint, token, leased_until,
                created_at)
            VALUES ($1, $1, $2, '', $1, now() + $4 * interval '1 hour',
                now() - $3 * interval '1 hour')
            """,
            uuid4(),
            key,
            age_h,
            leased_h,
        )
    step = OldRows(owner, in_days(0), delete_old_claims, timedelta(days=1), batch=batch)
    assert await step.run(StepProgress()) == {"rows_deleted": 1}
    left = await inspector.fetch("SELECT key FROM idempotency ORDER BY key")
    assert [row["key"] for row in left] == ["in use", "young"]
