"""Watches the database for the metrics: what waits, what is dead, what the keeper last found.

Each relay does, active or not: they live all the time, and a keeper that runs as a job does not.
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
    OUTBOX_BACKLOG,
    OUTBOX_DAYS_AHEAD,
    OUTBOX_OLDEST,
    Reading,
    Values,
    export_readings,
)
from service.postgres import database_metrics as rows
from service.postgres.pool import Connection, Database
from service.workers.relay.leadership import wait

log = get_logger(__name__)


class DatabaseMetrics:
    """Looks every so often and shows what it saw last, and nothing while it cannot look."""

    def __init__(self, database: Database, *, every_s: float = 15.0) -> None:
        self._database = database
        self._every_s = every_s
        self._seen: Values = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        with export_readings(lambda: self._seen):
            while not stop.is_set():
                try:
                    async with self._database.connection() as connection:
                        self._seen = await self._look(connection)
                except DatabaseUnavailable:
                    # Old numbers would look like an outbox that nobody writes to.
                    self._seen = {}
                except Exception:
                    self._seen = {}
                    log.exception("The metrics of the database cannot be read.")
                await wait(stop, self._every_s)

    async def _look(self, connection: Connection) -> Values:
        return {
            **await self._outbox(connection),
            **await self._deliveries(connection),
            **await self._kept(connection),
        }

    async def _outbox(self, connection: Connection) -> Values:
        waiting = await rows.watch_outbox(connection)
        ahead = await rows.watch_partitions(connection)
        return {
            OUTBOX_BACKLOG: {(): waiting.number},
            OUTBOX_OLDEST: {(): waiting.oldest_s},
            MONTHS_AHEAD: {(): ahead.months},
            OUTBOX_DAYS_AHEAD: {(): ahead.days},
        }

    async def _deliveries(self, connection: Connection) -> Values:
        due = await rows.watch_deliveries(connection)
        dead = await rows.watch_dead(connection)
        return {
            DELIVERIES_DUE: {(name,): one.number for name, one in due.items()},
            DELIVERIES_OLDEST_DUE: {(name,): one.oldest_s for name, one in due.items()},
            DELIVERIES_DEAD: {(name,): dead.get(name, 0) for name in {*due, *dead}},
        }

    async def _kept(self, connection: Connection) -> Values:
        steps = await rows.watch_keeper(connection)
        found: dict[Reading, dict[tuple[str, ...], float]] = {
            KEEPER_LAST_SUCCESS: {
                (name,): step.finished_at.timestamp() for name, step in steps.items()
            }
        }
        if (recount := steps.get("recount")) is not None:
            found[COUNT_DRIFT] = {(): recount.done.get("boxes_repaired", 0)}
        return found
