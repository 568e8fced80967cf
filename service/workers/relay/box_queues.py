"""Queues per box: the rows of a box are sent in order, and a failure stops only that box."""

import time
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import msgspec

from service.postgres.outbox import OutboxRow

QueueKey = tuple[UUID, UUID]
"""Account ID and vmbox ID."""

ROWS_PER_QUEUE = 64
_FIRST_DELAY_S = 0.1
_MAX_DELAY_S = 30.0


class StoppedQueue(msgspec.Struct, frozen=True):
    """Number of failures of the first row, the time of its next attempt, and the box's bucket."""

    failures: int
    retry_at: float
    bucket: int


class BoxQueues:
    """Stopped queues and their backoff. A queue stops when publishing its first row fails."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stopped: dict[QueueKey, StoppedQueue] = {}

    @property
    def stopped_count(self) -> int:
        return len(self._stopped)

    def list_backing_off(self) -> list[QueueKey]:
        """Returns the queues whose next attempt is not due yet."""
        now = self._clock()
        return [queue for queue, stopped in self._stopped.items() if stopped.retry_at > now]

    def row_limit(self, queue: QueueKey) -> int:
        """Returns how many rows of a queue a batch may take: 1 if the queue is stopped."""
        return 1 if queue in self._stopped else ROWS_PER_QUEUE

    def back_off(self, queue: QueueKey, bucket: int) -> float:
        """Stops a queue after a failure. Returns the seconds until the next attempt."""
        stopped = self._stopped.get(queue)
        failures = 1 if stopped is None else stopped.failures + 1
        delay = min(_FIRST_DELAY_S * 2.0 ** min(failures - 1, 16), _MAX_DELAY_S)
        self._stopped[queue] = StoppedQueue(failures, self._clock() + delay, bucket)
        return delay

    def acknowledge(self, queue: QueueKey) -> None:
        """Restarts a queue after its first row was acknowledged."""
        self._stopped.pop(queue, None)

    def retain(self, buckets: Collection[int]) -> None:
        """Forgets the queues of all other buckets."""
        self._stopped = {
            queue: stopped for queue, stopped in self._stopped.items() if stopped.bucket in buckets
        }

    def retry_now(self) -> None:
        """Makes all attempts due. Each stopped queue still sends only its first row."""
        now = self._clock()
        for queue, stopped in self._stopped.items():
            self._stopped[queue] = StoppedQueue(stopped.failures, now, stopped.bucket)


def queue_of(row: OutboxRow) -> QueueKey:
    return row.event.account_id, row.event.vmbox_id


def group_by_queue(rows: Sequence[OutboxRow]) -> dict[QueueKey, list[OutboxRow]]:
    """Groups rows by box, in the order of the sequence of the box.

    Rows after a gap are left out, because the missing rows may still be unpublished. If they are
    published, the next batch starts with the row after the gap.
    """
    queues: dict[QueueKey, list[OutboxRow]] = {}
    for row in sorted(rows, key=lambda row: row.event.sequence):
        queue = queues.setdefault(queue_of(row), [])
        if not queue or row.event.sequence == queue[-1].event.sequence + 1:
            queue.append(row)
    return queues
