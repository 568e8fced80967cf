"""Relay process: stands by until it acquires the relay lock, then publishes the outbox."""

import asyncio

from service.bus import Bus
from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.metrics import RELAY_ACTIVE, RELAY_STOPPED_QUEUES
from service.postgres.pool import Database
from service.postgres.relay_lock import RelayLock, RelayTerm
from service.workers.relay.leadership import Leadership, RelaySettings
from service.workers.waiting import wait_for

log = get_logger(__name__)

_LOCK_POLL_S = 0.25
_RECONNECT_WAIT_S = 0.5


class Relay:
    """Publishes the outbox while it holds the relay lock.

    `database_url` is for the connection of the lock. It must be direct: the lock belongs to the
    server session, and PgBouncer in transaction mode breaks it. When the active relay dies, freezes
    or loses its connection, another one takes over after `lease_s`.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        database_url: str,
        settings: RelaySettings | None = None,
    ) -> None:
        self.active = False
        self._database = database
        self._bus = bus
        self._database_url = database_url
        self._settings = settings or RelaySettings()

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, completes the current batch, and releases the lock."""
        last_error = ""
        while not stop.is_set():
            try:
                async with RelayLock.open(
                    self._database_url, lease_s=self._settings.lease_s
                ) as lock:
                    last_error = ""
                    await self._stand_by(lock, stop)
            except DatabaseUnavailable as error:
                if last_error != (last_error := error.reason):
                    log.warning("relay cannot acquire lock", reason=last_error)
            await wait_for(stop, _RECONNECT_WAIT_S)

    async def _stand_by(self, lock: RelayLock, stop: asyncio.Event) -> None:
        """Polls for the lock, then leads until the leadership ends."""
        while not stop.is_set():
            term = await lock.try_acquire()
            if term is not None:
                await self._lead(term, lock, stop)
                return
            await wait_for(stop, _LOCK_POLL_S)

    async def _lead(self, term: RelayTerm, lock: RelayLock, stop: asyncio.Event) -> None:
        log.info("relay leader elected", term=term.term)
        leadership = Leadership(term, lock, self._database, self._bus, self._settings)
        renewal = asyncio.create_task(lock.renew_until_lost())
        self.active = True
        RELAY_ACTIVE.set(1)
        try:
            await leadership.serve(stop)
        finally:
            self.active = False
            RELAY_ACTIVE.set(0)
            RELAY_STOPPED_QUEUES.set(0)
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
            log.info("relay leadership ended", term=term.term)
