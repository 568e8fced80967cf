"""Relay process: shares the shards with the other relays and publishes the events of its own."""

import asyncio

from service.bus import Bus
from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.metrics import RELAY_STOPPED_QUEUES, UNEXPECTED_ERRORS
from service.postgres.pool import Database
from service.postgres.relay_shards import ShardLocks
from service.tasks import background_task
from service.workers.relay.ownership import ShardOwnership
from service.workers.relay.publisher import Publisher
from service.workers.relay.settings import RelaySettings
from service.workers.waiting import wait_for

log = get_logger(__name__)

_RECONNECT_WAIT_S = 0.5
_MAX_RECONNECT_WAIT_S = 8.0


class Relay:
    """Publishes the outbox of the shards whose locks it holds.

    `database_url` is for the connection of the locks. It must be direct: the locks belong to the
    server session, and PgBouncer in transaction mode breaks them. When a relay dies, freezes or
    loses its connection, the others take over its shards after `lease_s`.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        database_url: str,
        settings: RelaySettings | None = None,
    ) -> None:
        self._database = database
        self._bus = bus
        self._database_url = database_url
        self._settings = settings or RelaySettings()
        self._ownership: ShardOwnership | None = None
        self._last_error = ""
        self._has_set_shards = False

    @property
    def buckets(self) -> list[int]:
        """Buckets of the owned shards."""
        ownership = self._ownership
        return ownership.buckets if ownership is not None and ownership.is_held else []

    @property
    def active(self) -> bool:
        """True while this relay owns a shard."""
        return bool(self.buckets)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, completes the current batch, and releases the locks."""
        wait_s = _RECONNECT_WAIT_S
        while not stop.is_set():
            try:
                await self._run_session(stop)
                wait_s = _RECONNECT_WAIT_S
            except DatabaseUnavailable as error:
                self._report(error.reason)
            except Exception as error:
                # An error of the database, or a defect. The relay must not end.
                UNEXPECTED_ERRORS.inc()
                if self._last_error != (last_error := repr(error)):
                    log.exception("relay session ended by unexpected error")
                self._last_error = last_error
                wait_s = min(wait_s * 2, _MAX_RECONNECT_WAIT_S)
            await wait_for(stop, wait_s)

    def _report(self, reason: str) -> None:
        if reason != self._last_error:
            log.warning("relay cannot hold locks", reason=reason)
        self._last_error = reason

    async def _run_session(self, stop: asyncio.Event) -> None:
        """Owns shards until the lease ends. Raises DatabaseUnavailable if it cannot be renewed."""
        async with ShardLocks.open(self._database_url, lease_s=self._settings.lease_s) as locks:
            if not self._has_set_shards:
                await locks.set_shards(self._settings.shards)
                self._has_set_shards = True
            await locks.survey()
            self._last_error = ""
            self._ownership = ShardOwnership(locks, survey_s=self._settings.survey_s)
            publisher = Publisher(self._ownership, self._database, self._bus, self._settings)
            maintenance = asyncio.create_task(self._ownership.maintain())
            try:
                async with background_task(_wake(locks.wakeup, stop), "relay wakeup"):
                    await publisher.serve(stop)
            finally:
                self._ownership = None
                RELAY_STOPPED_QUEUES.set(0)
                maintenance.cancel()
                await asyncio.wait({maintenance})
        if not maintenance.cancelled() and (error := maintenance.exception()) is not None:
            raise error


async def _wake(wakeup: asyncio.Event, stop: asyncio.Event) -> None:
    await stop.wait()
    wakeup.set()
