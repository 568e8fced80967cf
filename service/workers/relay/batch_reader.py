"""Reader of batches from the outbox, in seq order. A box with many rows does not delay others."""

import time
from collections.abc import Sequence

from service.postgres import outbox
from service.postgres.outbox import OutboxBatch, OutboxPage, OutboxRow
from service.postgres.pool import Database
from service.workers.relay.box_queues import ROWS_PER_QUEUE, BoxQueues, QueueKey, group_by_queue
from service.workers.relay.scan_bounds import ScanBounds, next_scan_bounds

_BOUNDS_TTL_S = 10.0
_READS_PER_BATCH = 8
# Events can be large. A batch takes a small multiple of this in memory.
_BYTES_PER_BATCH = 8 * 1024**2


class BatchReader:
    """Reads batches during one term. The next term may use another database server."""

    def __init__(self, database: Database, queues: BoxQueues, batch_rows: int) -> None:
        self._database = database
        self._queues = queues
        self._batch_rows = batch_rows
        self._bounds: ScanBounds | None = None
        self._bounds_expire_at = 0.0
        self._highest_read = 0

    def reset_bounds(self) -> None:
        """Makes the next read determine the first unsent row again."""
        self._bounds = None

    async def read(self, buckets: Sequence[int]) -> OutboxBatch:
        """Returns the next batch in seq order: at most 64 rows per box and 8 MiB of events.

        Queues that are backing off are left out. If a box has more rows, another statement reads
        the other boxes. It starts at the beginning again, because only one snapshot is certain to
        contain the rows of a box without a gap.
        """
        bounds = await self._current_bounds(buckets)
        full_queues: dict[QueueKey, list[OutboxRow]] = {}
        for _ in range(_READS_PER_BATCH):
            limit = self._batch_rows - sum(map(len, full_queues.values()))
            page = await self._read_page(buckets, bounds, limit, full_queues)
            queues = group_by_queue(page.rows)
            if not page.hides_boxes:
                break
            full_queues |= {
                queue: rows for queue, rows in queues.items() if len(rows) == ROWS_PER_QUEUE
            }
        queues |= full_queues
        batch = [
            row for queue, rows in queues.items() for row in rows[: self._queues.row_limit(queue)]
        ]
        return OutboxBatch(
            rows=sorted(batch, key=lambda row: row.seq),
            stream_seq=page.stream_seq,
            stream_losses=page.stream_losses,
        )

    async def _read_page(
        self,
        buckets: Sequence[int],
        bounds: ScanBounds,
        limit: int,
        full_queues: dict[QueueKey, list[OutboxRow]],
    ) -> OutboxPage:
        async with self._database.connection() as connection:
            page = await outbox.read_unsent(
                connection,
                buckets=buckets,
                after=bounds.after,
                days=bounds.days,
                excluded=[*self._queues.list_backing_off(), *full_queues],
                limit=limit,
                # Some buckets have few rows, so the others may have more than an equal part. It is
                # above the limit of a queue, so that a long queue does not hide the others.
                per_bucket=2 * max(ROWS_PER_QUEUE, self._batch_rows // len(buckets)),
                per_vmbox=ROWS_PER_QUEUE,
                limit_bytes=_BYTES_PER_BATCH - sum(map(_size, full_queues.values())),
            )
        self._highest_read = max(self._highest_read, page.end)
        return page

    async def _current_bounds(self, buckets: Sequence[int]) -> ScanBounds:
        if self._bounds is None or time.monotonic() >= self._bounds_expire_at:
            async with self._database.connection() as connection:
                head = await outbox.read_outbox_head(connection, buckets)
            self._bounds = next_scan_bounds(head, self._bounds, self._highest_read)
            self._bounds_expire_at = time.monotonic() + _BOUNDS_TTL_S
        return self._bounds


def _size(rows: list[OutboxRow]) -> int:
    return sum(len(row.event.data) for row in rows)
