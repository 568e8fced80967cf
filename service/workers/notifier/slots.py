"""What a process has in hand, and which targets must wait so that others need not."""

from collections import Counter
from uuid import UUID

from service.postgres.deliveries import DeliveryLease, DeliveryRow
from service.workers.channels import Delivery

Lane = tuple[UUID, str]
_MOST_SUSPECTS = 10_000


class DeliverySlots:
    """Counts what is in hand, in all and per target.

    A target whose last attempt failed is a suspect. Suspects come after all others and get half of
    the places at most, so that many that are slow do not hold up those that are well.
    """

    def __init__(self, places: int, per_target: int) -> None:
        self.free = places
        self._per_target = per_target
        self._for_suspects = max(1, places // 2)
        self._lanes: Counter[Lane] = Counter()
        self._suspects: set[Lane] = set()

    def take(self, row: Delivery | DeliveryRow) -> None:
        self.free -= 1
        self._lanes[_lane(row)] += 1

    def give_back(self, row: Delivery | DeliveryRow) -> None:
        self.free += 1
        lane = _lane(row)
        self._lanes[lane] -= 1
        if not self._lanes[lane]:
            del self._lanes[lane]

    def note(self, row: Delivery | DeliveryRow, *, failed: bool) -> None:
        if not failed:
            self._suspects.discard(_lane(row))
        elif len(self._suspects) < _MOST_SUSPECTS:
            self._suspects.add(_lane(row))

    def held(self, *, suspects: bool) -> list[DeliveryLease]:
        """What is in hand; without `suspects` these are shown as having all they may have."""
        shown = dict(self._lanes)
        if not suspects:
            shown |= dict.fromkeys(self._suspects, self._per_target)
        return [
            DeliveryLease(account_id=account_id, target=target, number=number)
            for (account_id, target), number in shown.items()
        ]

    def room_for_suspects(self) -> int:
        if not self._suspects:
            return 0
        in_hand = sum(self._lanes[lane] for lane in self._suspects)
        return max(0, min(self.free, self._for_suspects - in_hand))


def _lane(row: Delivery | DeliveryRow) -> Lane:
    return row.account_id, row.target
