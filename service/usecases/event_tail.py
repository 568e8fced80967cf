"""The last of what was published: what many listeners would otherwise each read from the outbox."""

from collections import deque
from collections.abc import Iterator, Sequence

from service.postgres.feed import Published

_MOST_EVENTS = 2_000
_MOST_BYTES = 16 * 1024**2


class EventTail:
    """Every event after `base` and up to `until`; the oldest go when they are too many or large."""

    def __init__(self) -> None:
        self._events: deque[Published] = deque()
        self._bytes = 0
        self.base = 0
        self.until = 0

    def begin(self, number: int) -> None:
        """Forgets all and goes on after `number`."""
        self._events.clear()
        self._bytes = 0
        self.base = self.until = number

    def extend(self, found: Sequence[Published]) -> None:
        """What follows on `until`, in order and without a gap."""
        for one in found:
            self._events.append(one)
            self._bytes += len(one.event.data)
            self.until = one.number
        while len(self._events) > _MOST_EVENTS or self._bytes > _MOST_BYTES:
            oldest = self._events.popleft()
            self._bytes -= len(oldest.event.data)
            self.base = oldest.number

    def after(self, number: int) -> Iterator[Published]:
        """The events after `number`, which must not be below `base`."""
        return (one for one in self._events if one.number > number)
