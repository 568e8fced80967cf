"""Leadership of a relay: reads, publishes and marks events until it stops or loses the lock."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from service.bus import Ack, Bus, StreamState
from service.domain.clock import utc_now
from service.domain.errors import BusUnavailable, Unavailable
from service.logs import get_logger
from service.metrics import (
    EVENT_LATENCY,
    EVENTS_PUBLISHED,
    RELAY_STOPPED_QUEUES,
    REPUBLICATIONS,
)
from service.postgres import outbox
from service.postgres.outbox import OutboxRow, RelayPosition, SentRow
from service.postgres.pool import Connection, Database
from service.postgres.relay_lock import RelayLock, RelayTerm
from service.workers.relay.batch_reader import BatchReader
from service.workers.relay.box_queues import BoxQueues, QueueKey, group_by_queue
from service.workers.waiting import wait_for

log = get_logger(__name__)

CONCURRENT_QUEUES = 256
# A batch has a fixed cost. After a smaller one, the relay pauses so that more rows accumulate.
_MIN_BATCH_ROWS = 64
_MIN_PAUSE_S = 0.05
_MAX_PAUSE_S = 1.0


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Batch size, and the intervals of polls, of the lease and of checks of the stream.

    `idle_poll_s` is the interval when no event came for `idle_after_s`.
    """

    poll_s: float = 0.02
    idle_poll_s: float = 0.1
    idle_after_s: float = 60.0
    batch_rows: int = 1000
    lease_s: float = 3.0
    check_stream_every_s: float = 10.0


class LeadershipLost(Exception):
    """Another relay has a higher term. This one must not mark events."""


class Leadership:
    """One term of a relay. The term is a fencing number: each new leader increments it."""

    def __init__(
        self,
        relay_term: RelayTerm,
        lock: RelayLock,
        database: Database,
        bus: Bus,
        settings: RelaySettings,
    ) -> None:
        self._term = relay_term.term
        self._created_at = relay_term.stream_created_at
        self._highest = relay_term.stream_seq
        self._lock = lock
        self._database = database
        self._bus = bus
        self._settings = settings
        self._queues = BoxQueues()
        self._reader = BatchReader(database, self._queues, settings.batch_rows)
        self._checked_connection = 0
        self._check_at = 0.0
        self._idle_at = time.monotonic() + settings.idle_after_s
        self._pause_s = _MIN_PAUSE_S
        self._in_flight = asyncio.Semaphore(CONCURRENT_QUEUES)
        self._stop = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Publishes until `stop` is set or the lock is lost.

        Publications in flight are completed and marked. Rows that were only read are left to the
        next leader.
        """
        self._stop = stop
        last_error = ""
        while not stop.is_set() and self._lock.is_held:
            try:
                row_count = await self._publish_batch()
            except LeadershipLost:
                return
            except Unavailable as error:
                if last_error != (last_error := f"{error} ({error.reason})"):
                    log.warning("relay interrupted", reason=last_error)
                self._reader.reset_bounds()
                await self._pause(stop)
                continue
            last_error, self._pause_s = "", _MIN_PAUSE_S
            if row_count or self._lock.wakeup.is_set():
                self._lock.wakeup.clear()
                self._idle_at = time.monotonic() + self._settings.idle_after_s
            if row_count < _MIN_BATCH_ROWS:
                await self._wait_for_rows(stop)

    async def _wait_for_rows(self, stop: asyncio.Event) -> None:
        if time.monotonic() < self._idle_at:
            await wait_for(stop, self._settings.poll_s)
        else:
            await wait_for(self._lock.wakeup, self._settings.idle_poll_s)

    async def _publish_batch(self) -> int:
        """Returns the number of rows in the batch."""
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
        """Creates the stream if necessary. Schedules lost events for republication."""
        connection = self._bus.connections
        stream = await self._bus.declare()
        first_lost_seq = self._first_lost_seq(stream)
        if first_lost_seq is not None or self._created_at is None:
            async with self._database.transaction() as transaction:
                await self._lock_position(transaction)
                await self._schedule_republication(transaction, first_lost_seq)
                highest = min(self._highest, stream.last_seq)
                await outbox.record_stream(transaction, stream.created_at, highest)
            self._created_at, self._highest = stream.created_at, highest
        if connection != self._checked_connection or first_lost_seq is not None:
            self._queues.retry_now()
        self._checked_connection = connection
        self._check_at = time.monotonic() + self._settings.check_stream_every_s

    def _first_lost_seq(self, stream: StreamState) -> int | None:
        """Returns the first stream sequence that the stream has lost, or None."""
        if self._created_at is not None and stream.created_at != self._created_at:
            return 1
        if stream.last_seq < self._highest:
            # Publications in flight at that time may have reused the first of the lost sequences.
            return max(1, stream.last_seq + 1 - self._settings.batch_rows)
        return None

    async def _publish(self, rows: Sequence[OutboxRow]) -> dict[int, Ack]:
        """Publishes the rows of a box in order, boxes in parallel. Returns the acks by seq."""
        queues = group_by_queue(rows)
        acks: dict[int, Ack] = {}
        failed: dict[QueueKey, BusUnavailable] = {}
        async with asyncio.TaskGroup() as group:
            for queue, queue_rows in queues.items():
                group.create_task(self._publish_queue(queue, queue_rows, acks, failed))
        if failed:
            self._check_at = 0.0
        if not acks and len(failed) > 1:
            # All boxes failed, so the cause is common: no queue is stopped.
            raise next(iter(failed.values()))
        for queue, error in failed.items():
            self._stop_queue(queue, error)
        RELAY_STOPPED_QUEUES.set(self._queues.stopped_count)
        return acks

    async def _publish_queue(
        self,
        queue: QueueKey,
        rows: Sequence[OutboxRow],
        acks: dict[int, Ack],
        failed: dict[QueueKey, BusUnavailable],
    ) -> None:
        async with self._in_flight:
            for row in rows:
                # After a freeze of this process, another relay may be the leader.
                if self._stop.is_set() or not self._lock.is_held:
                    return
                try:
                    acks[row.seq] = await self._bus.publish(row.event)
                except BusUnavailable as error:
                    failed[queue] = error
                    return
                self._queues.acknowledge(queue)
                _record_metrics(row)

    def _stop_queue(self, queue: QueueKey, error: BusUnavailable) -> None:
        delay_s = self._queues.back_off(queue)
        log.warning(
            "publication failed, box queue stopped",
            account_id=queue[0].hex,
            vmbox_id=queue[1].hex,
            retry_in_s=delay_s,
            reason=error.reason,
        )

    async def _mark(self, rows: Sequence[OutboxRow], acks: dict[int, Ack]) -> None:
        """Numbers the acknowledged rows and marks them as published."""
        sent = [
            SentRow(row=row, stream_seq=acks[row.seq].stream_seq) for row in rows if row.seq in acks
        ]
        new_seqs = [ack.stream_seq for ack in acks.values() if not ack.duplicate]
        reused = [seq for seq in new_seqs if seq <= self._highest]
        first_lost_seq = min(reused, default=None)
        # After a loss, the stream continues from a lower sequence.
        highest = (
            max(new_seqs, default=0)
            if reused
            else max(self._highest, *(s.stream_seq for s in sent))
        )
        async with self._database.transaction() as transaction:
            position = await self._lock_position(transaction)
            await self._schedule_republication(transaction, first_lost_seq)
            last = await outbox.mark_sent(transaction, sent, position.published_seq)
            await outbox.update_position(
                transaction,
                RelayPosition(published_seq=last, stream_seq=highest),
                republished=any(sent_row.row.published for sent_row in sent),
            )
        self._highest = highest

    async def _lock_position(self, transaction: Connection) -> RelayPosition:
        position = await outbox.lock_position(transaction, self._term)
        if position is None:
            log.warning("relay leadership lost", term=self._term)
            raise LeadershipLost
        return position

    async def _schedule_republication(
        self, transaction: Connection, first_lost_seq: int | None
    ) -> None:
        if first_lost_seq is None:
            return
        count = await outbox.mark_unsent_from(transaction, first_lost_seq)
        REPUBLICATIONS.inc()
        self._reader.reset_bounds()
        self._check_at = 0.0
        log.warning(
            "stream lost events, republication scheduled", from_seq=first_lost_seq, events=count
        )

    async def _pause(self, stop: asyncio.Event) -> None:
        await wait_for(stop, self._pause_s)
        self._pause_s = min(self._pause_s * 2, _MAX_PAUSE_S)


def _record_metrics(row: OutboxRow) -> None:
    EVENTS_PUBLISHED.labels(row.event.type).inc()
    if not row.published:
        age = utc_now() - row.event.created_at
        # The clocks of two machines can differ.
        EVENT_LATENCY.observe(max(0.0, age.total_seconds()))
