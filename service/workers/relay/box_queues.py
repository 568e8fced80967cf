"""Lanes: the rows of one box go one after the other, and one that fails stops its box alone."""

import time
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from service.postgres.outbox import OutboxRow

Lane = tuple[UUID, UUID]
"""An account and a box of it."""

ROWS_PER_LANE = 64
_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 30.0


class Stopped(msgspec.Struct, frozen=True):
    """Why a lane does not move: how often its head failed, and when it is tried again."""

    failures: int
    retry_at: float


class BoxQueues:
    """Which lanes are stopped, and until when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stopped: dict[Lane, Stopped] = {}

    @property
    def stopped(self) -> int:
        """How many do not move."""
        return len(self._stopped)

    def waiting(self) -> list[Lane]:
        """The lanes that are not to be tried yet."""
        now = self._clock()
        return [queue for queue, stopped in self._stopped.items() if stopped.retry_at > now]

    def limit(self, queue: Lane) -> int:
        """How many rows of a lane one batch takes: of a stopped one its head alone."""
        return 1 if queue in self._stopped else ROWS_PER_LANE

    def back_off(self, queue: Lane) -> float:
        """The head of `lane` failed; the seconds until it is tried again."""
        before = self._stopped.get(queue)
        failures = 1 if before is None else before.failures + 1
        delay = min(_FIRST_DELAY_S * 2.0 ** min(failures - 1, 16), _LONGEST_DELAY_S)
        self._stopped[queue] = Stopped(failures, self._clock() + delay)
        return delay

    def acknowledge(self, queue: Lane) -> None:
        """The head of `lane` was acknowledged."""
        self._stopped.pop(queue, None)

    def retry_now(self) -> None:
        """What stopped them may be over; still only the head of each goes first."""
        now = self._clock()
        for queue, stopped in self._stopped.items():
            self._stopped[queue] = Stopped(stopped.failures, now)


def queue_of(row: OutboxRow) -> Lane:
    return row.event.account_id, row.event.vmbox_id


def by_queue(rows: Sequence[OutboxRow]) -> dict[Lane, list[OutboxRow]]:
    """The rows of each box, in the order given."""
    queues: dict[Lane, list[OutboxRow]] = {}
    for row in rows:
        queues.setdefault(queue_of(row), []).append(row)
    return queues
