"""Database metrics of the relays: backlogs, dead deliveries, results of the keeper."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from service.domain.clock import utc_now
from service.metrics import REGISTRY
from service.postgres.months import ensure_ahead
from service.postgres.pool import Database
from service.workers.keeper import Keeper, StepProgress
from service.workers.keeper.steps import HOUR, Step
from service.workers.relay import DatabaseMetrics
from tests.support.ports import free_port
from tests.support.relay import a_box, append
from tests.support.waiting import wait_until

_DELIVERY = """
INSERT INTO deliveries (account_id, event_id, channel, target, status, next_at)
VALUES ($1, $2, $3, 'whom', $4, now() + make_interval(secs => $5))
"""


def metric_value(name: str, **labels: str) -> float | None:
    """Returns the current value of a metric, or None if it is absent."""
    return REGISTRY.get_sample_value(f"aftertone_{name}", labels)


@asynccontextmanager
async def watched(database: Database) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(DatabaseMetrics(database, interval_s=0.02).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def shows(value: float, name: str, **labels: str) -> None:
    async def does() -> bool:
        return metric_value(name, **labels) == value

    await wait_until(does)


async def test_the_age_of_an_unsent_event_is_measured(database: Database) -> None:
    async with watched(database), database.connection() as connection:
        await shows(0, "outbox_backlog")
        assert metric_value("outbox_oldest_seconds") == 0
        await append(connection, await a_box(connection), 3)
        await shows(3, "outbox_backlog")
        assert 0 < (metric_value("outbox_oldest_seconds") or 0) < 600
        await connection.execute("UPDATE outbox SET stream_seq = 1")
        await shows(0, "outbox_backlog")


async def test_due_deliveries_are_measured_by_channel(database: Database) -> None:
    async with watched(database), database.connection() as connection:
        await connection.execute("INSERT INTO channels VALUES ('email', now()), ('idle', now())")
        for channel, status, due_s in (
            ("email", "pending", -60.0),
            ("email", "pending", -5.0),
            ("email", "pending", 60.0),
            ("email", "done", -60.0),
            ("email", "dead", -60.0),
        ):
            await connection.execute(_DELIVERY, uuid4(), uuid4(), channel, status, due_s)
        await shows(2, "deliveries_due", channel="email")
        await shows(1, "deliveries_dead", channel="email")
        assert 60 <= (metric_value("deliveries_oldest_due_seconds", channel="email") or 0) < 660
        for name in ("deliveries_due", "deliveries_dead", "deliveries_oldest_due_seconds"):
            assert metric_value(name, channel="idle") == 0


async def test_partitions_ahead_are_measured(
    database: Database, inspector: asyncpg.Connection
) -> None:
    await ensure_ahead(inspector, utc_now())
    async with watched(database):
        await shows(3, "months_ahead")
        await shows(35, "outbox_days_ahead")
        name = await inspector.fetchval(
            "SELECT 'outbox_' || to_char(now() + '35 days', 'YYYYMMDD')"
        )
        await inspector.execute(f"DROP TABLE {name}")
        await shows(34, "outbox_days_ahead")


async def test_results_of_a_keeper_that_has_ended_are_measured(
    database: Database, owner: Database, database_url: str
) -> None:
    async def drifted(_: object) -> dict[str, int]:
        return {"boxes_counted": 7, "boxes_repaired": 2}

    now = datetime.now(UTC)

    async def blocked(_: object) -> dict[str, int]:
        return {"months_dropped": 0, "months_overdue": 3}

    step = Step(name="recount", work=drifted, every=HOUR, after=HOUR)
    months = Step(name="months", work=blocked, every=HOUR, after=HOUR)
    keeper = Keeper(owner, database_url, lambda: now, [step, months])
    async with watched(database):
        await shows(3, "months_ahead")
        assert metric_value("count_drift") is None
        await keeper.run_once(step, StepProgress())
        await shows(2, "count_drift")
        assert metric_value("months_overdue") is None
        await keeper.run_once(months, StepProgress())
        await shows(3, "months_overdue")
        record = metric_value("keeper_last_success_timestamp_seconds", step="recount")
        assert record == pytest.approx(now.timestamp(), abs=0.001)


async def test_values_that_cannot_be_read_are_absent(database: Database) -> None:
    attempts = 0

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    async with (
        await asyncio.start_server(refuse, "127.0.0.1", port := free_port()),
        Database.open(
            f"postgresql://a:b@127.0.0.1:{port}/x", size=1, timeout_s=1, name="t", pool_name="t"
        ) as away,
        watched(away),
    ):
        await wait_until(lambda: attempts > 1)
        assert metric_value("outbox_backlog") is None
        assert metric_value("months_ahead") is None
    async with watched(database):
        await shows(0, "outbox_backlog")
    assert metric_value("outbox_backlog") is None
