"""One relay's time in its place: reads, publishes and marks until it stops or loses the place."""

import asyncio
import time
from collections.abc import Sequence

from service.bus import Ack, Bus, Stream
from service.domain.clock import utc_now
from service.domain.errors import BusUnavailable, Unavailable
from service.logs import get_logger
from service.metrics import (
    EVENT_LATENCY,
    EVENTS_PUBLISHED,
    RELAY_STOPPED_LANES,
    REPUBLICATIONS,
)
from service.postgres import outbox
from service.postgres.outbox import OutboxRow, RelayPosition, SentRow
from service.postgres.pool import Connection, Database
from service.postgres.relay_lock import HeldLock, RelayLock
from service.workers.relay.batch_reader import BatchReader
from service.workers.relay.box_queues import BoxQueues, Lane, by_queue

log = get_logger(__name__)

LANES_AT_ONCE = 256
# A batch costs Postgres as much as dozens of rows in it: after a smaller one, others gather first.
_WORTH_A_BATCH = 64
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


class LeadershipLost(Exception):
    """Another relay has taken the place; this one may mark nothing."""


class Leadership:
    """What one relay does between taking the place and leaving it."""

    def __init__(
        self,
        taken: HeldLock,
        lock: RelayLock,
        database: Database,
        bus: Bus,
        *,
        poll_s: float,
        batch_rows: int,
        check_stream_every_s: float,
    ) -> None:
        self._number = taken.term
        self._created_at = taken.stream_created_at
        self._highest = taken.stream_seq
        self._lock = lock
        self._database = database
        self._bus = bus
        self._poll_s = poll_s
        self._batch_rows = batch_rows
        self._check_stream_every_s = check_stream_every_s
        self._queues = BoxQueues()
        self._reader = BatchReader(database, self._queues, batch_rows)
        self._checked_connection = 0
        self._check_at = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._in_flight = asyncio.Semaphore(LANES_AT_ONCE)
        self._stop = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Returns when `stop` is set, once what is in flight is acked and marked, or when the place
        is lost. What was only read is left to the next relay."""
        self._stop = stop
        trouble = ""
        while not stop.is_set() and self._lock.held:
            try:
                sent = await self._work()
            except LeadershipLost:
                return
            except Unavailable as error:
                if trouble != (trouble := f"{error} ({error.reason})"):
                    log.warning("The relay cannot go on; it tries again.", reason=trouble)
                self._reader.survey_soon()
                await self._pause(stop)
                continue
            trouble, self._pause_s = "", _FIRST_PAUSE_S
            if sent < _WORTH_A_BATCH:
                await wait(stop, self._poll_s)

    async def _work(self) -> int:
        """One batch; how many rows it had."""
        if not self._bus.connected:
            raise BusUnavailable("not connected")
        if self._checked_connection != self._bus.connections or time.monotonic() >= self._check_at:
            await self._check_stream()
        rows = await self._reader.read()
        if not rows:
            return 0
        acks = await self._publish(rows)
        if acks:
            await self._mark(rows, acks)
        return len(rows)

    async def _check_stream(self) -> None:
        """Sees to it that the stream is there; what it has lost is sent again, before new rows."""
        connection = self._bus.connections
        stream = await self._bus.declare()
        lost_from = self._lost_from(stream)
        if lost_from is not None or self._created_at is None:
            async with self._database.transaction() as transaction:
                await self._hold_place(transaction)
                await self._forget(transaction, lost_from)
                highest = min(self._highest, stream.last_seq)
                await outbox.know_stream(transaction, stream.created_at, highest)
            self._created_at, self._highest = stream.created_at, highest
        if connection != self._checked_connection or lost_from is not None:
            self._queues.retry_now()
        self._checked_connection = connection
        self._check_at = time.monotonic() + self._check_stream_every_s

    def _lost_from(self, stream: Stream) -> int | None:
        """The sequence from which on the stream lost what was acknowledged, if it did."""
        if self._created_at is not None and stream.created_at != self._created_at:
            return 1
        if stream.last_seq < self._highest:
            # What was in flight when it came back may have taken the first of the lost places.
            return max(1, stream.last_seq + 1 - self._batch_rows)
        return None

    async def _publish(self, rows: Sequence[OutboxRow]) -> dict[int, Ack]:
        """One row of a box after the other, boxes side by side; the acks by seq."""
        queues = by_queue(rows)
        acks: dict[int, Ack] = {}
        failed: dict[Lane, BusUnavailable] = {}
        async with asyncio.TaskGroup() as group:
            for queue, its_rows in queues.items():
                group.create_task(self._publish_queue(queue, its_rows, acks, failed))
        if failed:
            self._check_at = 0.0
        if not acks and len(failed) > 1:
            # Not their fault, then. They wait together, and none is held back afterwards.
            raise next(iter(failed.values()))
        for queue, error in failed.items():
            self._stop_queue(queue, error)
        RELAY_STOPPED_LANES.set(self._queues.stopped)
        return acks

    async def _publish_queue(
        self,
        queue: Lane,
        rows: Sequence[OutboxRow],
        acks: dict[int, Ack],
        failed: dict[Lane, BusUnavailable],
    ) -> None:
        async with self._in_flight:
            for row in rows:
                # Frozen for a while, this relay may have been replaced: then it sends no more.
                if self._stop.is_set() or not self._lock.held:
                    return
                try:
                    acks[row.seq] = await self._bus.publish(row.event)
                except BusUnavailable as error:
                    failed[queue] = error
                    return
                self._queues.acknowledge(queue)
                _count(row)

    def _stop_queue(self, queue: Lane, error: BusUnavailable) -> None:
        delay_s = self._queues.back_off(queue)
        log.warning(
            "An event was not taken; its box waits, others go on.",
            account_id=queue[0].hex,
            vmbox_id=queue[1].hex,
            retry_in_s=delay_s,
            reason=error.reason,
        )

    async def _mark(self, rows: Sequence[OutboxRow], acks: dict[int, Ack]) -> None:
        """Numbers and marks what was acknowledged; only the term that has the place may do it."""
        sent = [
            SentRow(row=row, stream_seq=acks[row.seq].stream_seq) for row in rows if row.seq in acks
        ]
        fresh = [ack.stream_seq for ack in acks.values() if not ack.duplicate]
        below = [seq for seq in fresh if seq <= self._highest]
        lost_from = min(below, default=None)
        # After a loss the stream goes on from where it was thrown back to.
        highest = (
            max(fresh, default=0) if below else max(self._highest, *(s.stream_seq for s in sent))
        )
        async with self._database.transaction() as transaction:
            place = await self._hold_place(transaction)
            await self._forget(transaction, lost_from)
            last = await outbox.mark_sent(transaction, sent, place.published_seq)
            await outbox.advance_place(
                transaction,
                RelayPosition(published_seq=last, stream_seq=highest),
                republished=any(one.row.published for one in sent),
            )
        self._highest = highest

    async def _hold_place(self, transaction: Connection) -> RelayPosition:
        place = await outbox.hold_place(transaction, self._number)
        if place is None:
            log.warning("Another relay has taken the place.", term=self._number)
            raise LeadershipLost
        return place

    async def _forget(self, transaction: Connection, lost_from: int | None) -> None:
        if lost_from is None:
            return
        count = await outbox.forget_sent(transaction, lost_from)
        REPUBLICATIONS.inc()
        self._reader.survey_soon()
        self._check_at = 0.0
        log.warning(
            "The stream has lost events; they are sent again.", from_seq=lost_from, events=count
        )

    async def _pause(self, stop: asyncio.Event) -> None:
        await wait(stop, self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)


def _count(row: OutboxRow) -> None:
    EVENTS_PUBLISHED.labels(row.event.type).inc()
    if not row.published:
        age = utc_now() - row.event.created_at
        # The clocks of two machines may differ.
        EVENT_LATENCY.observe(max(0.0, age.total_seconds()))


async def wait(stop: asyncio.Event, seconds: float) -> None:
    """Sleeps, but not beyond `stop`."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
