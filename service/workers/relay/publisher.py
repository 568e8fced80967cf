"""Publisher of a relay: reads, publishes and marks the events of the owned shards."""

import asyncio
import time
from collections.abc import Sequence

from service.bus import Ack, Bus
from service.domain.clock import utc_now
from service.domain.errors import BusUnavailable, Unavailable
from service.logs import get_logger
from service.metrics import (
    EVENT_LATENCY,
    EVENTS_PUBLISHED,
    RELAY_STOPPED_QUEUES,
    UNEXPECTED_ERRORS,
)
from service.postgres import outbox
from service.postgres.outbox import MarkResult, OutboxBatch, OutboxRow, SentRow
from service.postgres.pool import Database
from service.workers.relay.batch_reader import BatchReader
from service.workers.relay.box_queues import BoxQueues, QueueKey, group_by_queue
from service.workers.relay.ownership import ShardOwnership
from service.workers.relay.settings import RelaySettings
from service.workers.relay.stream_check import StreamCheck
from service.workers.waiting import wait_for

log = get_logger(__name__)

CONCURRENT_QUEUES = 256
# A batch has a fixed cost. After a smaller one, the relay pauses so that more rows accumulate.
_MIN_BATCH_ROWS = 64
_MIN_PAUSE_S = 0.05
_MAX_PAUSE_S = 1.0


class TermsEnded(Exception):
    """Another relay has a higher term of a bucket. This one must not mark events."""


class Publisher:
    """Publishes the events of the shards that a relay owns during one session of its locks."""

    def __init__(
        self, ownership: ShardOwnership, database: Database, bus: Bus, settings: RelaySettings
    ) -> None:
        self._ownership = ownership
        self._database = database
        self._bus = bus
        self._settings = settings
        self._queues = BoxQueues()
        self._reader = BatchReader(database, self._queues, settings.batch_rows)
        self._stream = StreamCheck(database, bus, settings)
        self._known_changes = 0
        self._idle_at = time.monotonic() + settings.idle_after_s
        self._pause_s = _MIN_PAUSE_S
        self._last_error = ""
        self._in_flight = asyncio.Semaphore(CONCURRENT_QUEUES)
        self._stop = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Publishes until `stop` is set or the lease ends.

        Publications in flight are completed and marked. Rows that were only read are left to the
        next owner of their shard.
        """
        self._stop = stop
        wakeup = self._ownership.wakeup
        while not stop.is_set() and self._ownership.is_held:
            # Cleared before the rows are read: a later wakeup may announce a row that was not read.
            is_woken = wakeup.is_set()
            wakeup.clear()
            try:
                row_count = await self._publish_batch()
            except TermsEnded:
                return
            except Unavailable as error:
                self._report(f"{error} ({error.reason})")
            except Exception as error:
                # An error of the database, or a defect. The relay must not end.
                UNEXPECTED_ERRORS.inc()
                if self._last_error != (last_error := repr(error)):
                    log.exception("relay interrupted by unexpected error")
                self._last_error = last_error
            else:
                self._last_error, self._pause_s = "", _MIN_PAUSE_S
                await self._wait_for_rows(row_count, is_woken=is_woken)
                continue
            self._reader.reset_bounds()
            await self._pause()

    def _report(self, error: str) -> None:
        if error != self._last_error:
            log.warning("relay interrupted", reason=error)
        self._last_error = error

    async def _wait_for_rows(self, row_count: int, *, is_woken: bool) -> None:
        if row_count or is_woken:
            self._idle_at = time.monotonic() + self._settings.idle_after_s
        if self._stop.is_set() or row_count >= _MIN_BATCH_ROWS:
            return
        if self._ownership.buckets and time.monotonic() < self._idle_at:
            await wait_for(self._stop, self._settings.poll_s)
        else:
            await wait_for(self._ownership.wakeup, self._settings.idle_poll_s)

    async def _publish_batch(self) -> int:
        """Returns the number of rows in the batch."""
        await self._adopt_changes()
        buckets = self._ownership.buckets
        if not buckets:
            return 0
        if not self._bus.connected:
            raise BusUnavailable("not connected")
        if self._stream.is_due:
            await self._check_stream()
        batch = await self._reader.read(buckets)
        if not batch.rows:
            return 0
        acks = await self._publish(batch.rows)
        if acks:
            await self._mark(batch, acks)
        return len(batch.rows)

    async def _adopt_changes(self) -> None:
        """Releases surplus shards, and reads new ones from their first unsent row."""
        if self._known_changes != self._ownership.changes:
            self._known_changes = self._ownership.changes
            await self._ownership.release_surplus()
            self._queues.retain(self._ownership.buckets)
            self._reader.reset_bounds()

    async def _check_stream(self) -> None:
        is_new_connection = self._stream.is_new_connection
        if await self._stream.check():
            self._reader.reset_bounds()
            is_new_connection = True
        if is_new_connection:
            self._queues.retry_now()

    async def _publish(self, rows: Sequence[OutboxRow]) -> dict[int, Ack]:
        """Publishes the rows of a box in order, boxes in parallel. Returns the acks by seq."""
        queues = group_by_queue(rows)
        acks: dict[int, Ack] = {}
        failed: dict[QueueKey, BusUnavailable] = {}
        async with asyncio.TaskGroup() as group:
            for queue, queue_rows in queues.items():
                group.create_task(self._publish_queue(queue, queue_rows, acks, failed))
        if failed:
            self._stream.check_soon()
        if not acks and len(failed) > 1:
            # All boxes failed, so the cause is common: no queue is stopped.
            raise next(iter(failed.values()))
        for queue, error in failed.items():
            self._stop_queue(queue, queues[queue][0].bucket, error)
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
                # After a freeze of this process, another relay may own the shard.
                if self._stop.is_set() or not self._ownership.may_publish(row.bucket):
                    return
                try:
                    acks[row.seq] = await self._bus.publish(row.event)
                except BusUnavailable as error:
                    failed[queue] = error
                    return
                except Exception as error:
                    # An event that cannot be published must stop only its box.
                    UNEXPECTED_ERRORS.inc()
                    log.exception("publication raised unexpected error")
                    failed[queue] = BusUnavailable(f"unexpected error: {type(error).__name__}")
                    return
                self._queues.acknowledge(queue)
                _record_metrics(row)

    def _stop_queue(self, queue: QueueKey, bucket: int, error: BusUnavailable) -> None:
        delay_s = self._queues.back_off(queue, bucket)
        log.warning(
            "publication failed, box queue stopped",
            account_id=queue[0].hex,
            vmbox_id=queue[1].hex,
            retry_in_s=delay_s,
            reason=error.reason,
        )

    async def _mark(self, batch: OutboxBatch, acks: dict[int, Ack]) -> None:
        """Numbers the acknowledged rows and marks them as published.

        If the stream lost events meanwhile, nothing is marked: the acknowledgements may be of
        events that are lost. The rows are published again, which has no effect on stored events.
        """
        if self._stream.detect_reuse(batch, acks.values()):
            return
        sent = [
            SentRow(row=row, stream_seq=acks[row.seq].stream_seq)
            for row in batch.rows
            if row.seq in acks
        ]
        terms = {item.row.bucket: self._ownership.terms.get(item.row.bucket, 0) for item in sent}
        async with self._database.connection() as connection:
            result = await outbox.mark_sent(connection, sent, terms, batch.stream_losses)
        if result is MarkResult.TERMS_ENDED:
            log.warning("relay shards lost, events not marked", events=len(sent))
            raise TermsEnded
        if result is MarkResult.STREAM_LOST_EVENTS:
            self._reader.reset_bounds()

    async def _pause(self) -> None:
        await wait_for(self._stop, self._pause_s)
        self._pause_s = min(self._pause_s * 2, _MAX_PAUSE_S)


def _record_metrics(row: OutboxRow) -> None:
    EVENTS_PUBLISHED.labels(row.event.type).inc()
    if not row.published:
        age = utc_now() - row.event.created_at
        # The clocks of two machines can differ.
        EVENT_LATENCY.observe(max(0.0, age.total_seconds()))
