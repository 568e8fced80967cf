"""What is to be sent next: reads the outbox in seq order without letting one box hold up others."""

import time

from service.postgres import outbox
from service.postgres.outbox import OutboxRow, Page
from service.postgres.pool import Database
from service.workers.relay.box_queues import ROWS_PER_LANE, BoxQueues, Lane, by_queue
from service.workers.relay.scan_bounds import ScanBounds, scan_bounds_of

_SURVEY_EVERY_S = 10.0
_READS_PER_BATCH = 8
# Events may be large: what a batch takes in memory is a small multiple of this.
_BYTES_PER_BATCH = 8 * 1024**2


class BatchReader:
    """Reads batches. Belongs to one term: another database server may stand behind the next."""

    def __init__(self, database: Database, queues: BoxQueues, batch_rows: int) -> None:
        self._database = database
        self._queues = queues
        self._batch_rows = batch_rows
        self._bounds: ScanBounds | None = None
        self._survey_at = 0.0
        self._seen = 0

    def survey_soon(self) -> None:
        """Rows that were sent are to be sent again: look for the first one anew."""
        self._bounds = None

    async def read(self) -> list[OutboxRow]:
        """The next batch in seq order: at most 64 rows of a box, no box whose lane waits; cut short
        where its events reach 8 MiB.

        When a box has more than its share, what lies behind it is read by another statement from
        the beginning, not from where the first ended: only the rows of a box that one snapshot
        shows are sure to be without a gap.
        """
        bounds = await self._current_bounds()
        full: dict[Lane, list[OutboxRow]] = {}
        for _ in range(_READS_PER_BATCH):
            limit = self._batch_rows - sum(map(len, full.values()))
            page = await self._read_page(bounds, limit, full)
            queues = by_queue(page.rows)
            if page.cut or page.scanned < limit or page.scanned == len(page.rows):
                break
            full |= {queue: rows for queue, rows in queues.items() if len(rows) == ROWS_PER_LANE}
        queues |= full
        rows = [row for queue, its in queues.items() for row in its[: self._queues.limit(queue)]]
        return sorted(rows, key=lambda row: row.seq)

    async def _read_page(
        self, bounds: ScanBounds, limit: int, full: dict[Lane, list[OutboxRow]]
    ) -> Page:
        async with self._database.connection() as connection:
            page = await outbox.read_unsent(
                connection,
                after=bounds.after,
                days=bounds.days,
                without=[*self._queues.waiting(), *full],
                limit=limit,
                per_vmbox=ROWS_PER_LANE,
                limit_bytes=_BYTES_PER_BATCH - sum(map(_size, full.values())),
            )
        self._seen = max(self._seen, page.end)
        return page

    async def _current_bounds(self) -> ScanBounds:
        if self._bounds is None or time.monotonic() >= self._survey_at:
            async with self._database.connection() as connection:
                survey = await outbox.survey(connection)
            self._bounds = scan_bounds_of(survey, self._bounds, self._seen)
            self._survey_at = time.monotonic() + _SURVEY_EVERY_S
        return self._bounds


def _size(rows: list[OutboxRow]) -> int:
    return sum(len(row.event.data) for row in rows)
