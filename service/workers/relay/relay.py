"""The life of a relay process: stands by, takes the place when it is free, leaves it at the end."""

import asyncio

from service.bus import Bus
from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.metrics import RELAY_ACTIVE, RELAY_STOPPED_LANES
from service.postgres.pool import Database
from service.postgres.relay_lock import HeldLock, RelayLock
from service.workers.relay.leadership import Leadership, wait

log = get_logger(__name__)

_ASK_EVERY_S = 0.25
_RECONNECT_WAIT_S = 0.5


class Relay:
    """Publishes the outbox while no other relay does.

    `database_url` is for the lock's own connection: a direct one, since the lock belongs to the
    server session (PgBouncer in transaction mode breaks it). A relay that dies, freezes or is cut
    off is followed by another within `lease_s` and what taking over costs.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        database_url: str,
        poll_s: float = 0.02,
        batch_rows: int = 1000,
        lease_s: float = 3.0,
        check_stream_every_s: float = 10.0,
    ) -> None:
        self.active = False
        self._database = database
        self._bus = bus
        self._database_url = database_url
        self._poll_s = poll_s
        self._batch_rows = batch_rows
        self._lease_s = lease_s
        self._check_stream_every_s = check_stream_every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Returns soon after `stop` is set: the batch in hand is finished, the place is free."""
        trouble = ""
        while not stop.is_set():
            try:
                async with RelayLock.open(self._database_url, lease_s=self._lease_s) as lock:
                    trouble = ""
                    await self._stand_by(lock, stop)
            except DatabaseUnavailable as error:
                if trouble != (trouble := error.reason):
                    log.warning("The relay cannot ask for its place.", reason=trouble)
            await wait(stop, _RECONNECT_WAIT_S)

    async def _stand_by(self, lock: RelayLock, stop: asyncio.Event) -> None:
        """Until it has had the place, or the lock's connection fails."""
        while not stop.is_set():
            taken = await lock.try_take()
            if taken is not None:
                await self._lead(taken, lock, stop)
                return
            await wait(stop, _ASK_EVERY_S)

    async def _lead(self, taken: HeldLock, lock: RelayLock, stop: asyncio.Event) -> None:
        log.info("The relay is active.", term=taken.term)
        term = Leadership(
            taken,
            lock,
            self._database,
            self._bus,
            poll_s=self._poll_s,
            batch_rows=self._batch_rows,
            check_stream_every_s=self._check_stream_every_s,
        )
        keeping = asyncio.create_task(lock.keep())
        self.active = True
        RELAY_ACTIVE.set(1)
        try:
            await term.serve(stop)
        finally:
            self.active = False
            RELAY_ACTIVE.set(0)
            RELAY_STOPPED_LANES.set(0)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            log.info("The relay is no longer active.", term=taken.term)
