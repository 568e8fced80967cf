"""Delivery slots of a process, shared fairly between targets."""

from collections import Counter
from uuid import UUID

from service.postgres.deliveries import DeliveryLease, DeliveryRow
from service.workers.channels import Delivery

TargetKey = tuple[UUID, str]
_MAX_SUSPECTS = 10_000


class DeliverySlots:
    """Counts deliveries in progress, in total and per target.

    A target whose last attempt failed is a suspect. Suspects come after all other targets and get
    at most half of the slots, so slow targets do not delay the others.
    """

    def __init__(self, size: int, per_target: int) -> None:
        self.free = size
        self._per_target = per_target
        self._for_suspects = max(1, size // 2)
        self._counts: Counter[TargetKey] = Counter()
        self._suspects: set[TargetKey] = set()

    def acquire(self, row: Delivery | DeliveryRow) -> None:
        self.free -= 1
        self._counts[_key(row)] += 1

    def release(self, row: Delivery | DeliveryRow) -> None:
        self.free += 1
        key = _key(row)
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]

    def record_outcome(self, row: Delivery | DeliveryRow, *, failed: bool) -> None:
        if not failed:
            self._suspects.discard(_key(row))
        elif len(self._suspects) < _MAX_SUSPECTS:
            self._suspects.add(_key(row))

    def list_leases(self, *, suspects: bool) -> list[DeliveryLease]:
        """Returns the deliveries in progress. Without `suspects`, suspects count as full."""
        counts = dict(self._counts)
        if not suspects:
            counts |= dict.fromkeys(self._suspects, self._per_target)
        return [
            DeliveryLease(account_id=account_id, target=target, number=number)
            for (account_id, target), number in counts.items()
        ]

    def free_for_suspects(self) -> int:
        if not self._suspects:
            return 0
        in_progress = sum(self._counts[key] for key in self._suspects)
        return max(0, min(self.free, self._for_suspects - in_progress))


def _key(row: Delivery | DeliveryRow) -> TargetKey:
    return row.account_id, row.target
