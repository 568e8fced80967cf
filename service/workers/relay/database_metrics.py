"""Metrics that are read from the database: backlogs, dead deliveries, results of the keeper.

Every relay exports them, active or not, because a keeper may run as a job and then ends.
"""

import asyncio

from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.metrics import (
    COUNT_DRIFT,
    DELIVERIES_DEAD,
    DELIVERIES_DUE,
    DELIVERIES_OLDEST_DUE,
    KEEPER_LAST_SUCCESS,
    MONTHS_AHEAD,
    MONTHS_OVERDUE,
    OUTBOX_BACKLOG,
    OUTBOX_DAYS_AHEAD,
    OUTBOX_OLDEST,
    RELAY_SHARD_LAG,
    Reading,
    Values,
    export_readings,
)
from service.postgres import database_metrics as rows
from service.postgres.pool import Connection, Database
from service.workers.waiting import wait_for

log = get_logger(__name__)


class DatabaseMetrics:
    """Exports the values of the last read. Exports nothing while the database is unavailable."""

    def __init__(self, database: Database, *, interval_s: float = 15.0) -> None:
        self._database = database
        self._interval_s = interval_s
        self._values: Values = {}

    async def run(self, stop: asyncio.Event) -> None:
        with export_readings(lambda: self._values):
            while not stop.is_set():
                try:
                    async with self._database.connection() as connection:
                        self._values = await self._read(connection)
                except DatabaseUnavailable:
                    # Stale values would look like an outbox without writes.
                    self._values = {}
                except Exception:
                    # Metrics must not end the relay.
                    self._values = {}
                    log.exception("reading database metrics failed")
                await wait_for(stop, self._interval_s)

    async def _read(self, connection: Connection) -> Values:
        return {
            **await self._read_outbox(connection),
            **await self._read_deliveries(connection),
            **await self._read_keeper(connection),
        }

    async def _read_outbox(self, connection: Connection) -> Values:
        backlog = await rows.read_outbox_backlog(connection)
        lags = await rows.read_shard_lags(connection)
        ahead = await rows.count_partitions_ahead(connection)
        return {
            OUTBOX_BACKLOG: {(): backlog.number},
            OUTBOX_OLDEST: {(): backlog.oldest_s},
            RELAY_SHARD_LAG: {(str(shard),): lag_s for shard, lag_s in lags.items()},
            MONTHS_AHEAD: {(): ahead.months},
            OUTBOX_DAYS_AHEAD: {(): ahead.days},
        }

    async def _read_deliveries(self, connection: Connection) -> Values:
        due = await rows.read_delivery_backlogs(connection)
        dead = await rows.count_dead_deliveries(connection)
        return {
            DELIVERIES_DUE: {(name,): backlog.number for name, backlog in due.items()},
            DELIVERIES_OLDEST_DUE: {(name,): backlog.oldest_s for name, backlog in due.items()},
            DELIVERIES_DEAD: {(name,): dead.get(name, 0) for name in {*due, *dead}},
        }

    async def _read_keeper(self, connection: Connection) -> Values:
        steps = await rows.list_keeper_runs(connection)
        values: dict[Reading, dict[tuple[str, ...], float]] = {
            KEEPER_LAST_SUCCESS: {
                (name,): step.finished_at.timestamp() for name, step in steps.items()
            }
        }
        if (recount := steps.get("recount")) is not None:
            values[COUNT_DRIFT] = {(): recount.done.get("boxes_repaired", 0)}
        if (months := steps.get("months")) is not None:
            values[MONTHS_OVERDUE] = {(): months.done.get("months_overdue", 0)}
        return values
