"""Tail of published events in memory, so that streams do not each read the outbox."""

from collections import deque
from collections.abc import Iterator, Sequence

from service.postgres.feed import PublishedEvent

_MAX_EVENTS = 2_000
_MAX_BYTES = 16 * 1024**2


class EventTail:
    """Events after the number `base`, up to `until`; beyond the limits the oldest are dropped."""

    def __init__(self) -> None:
        self._events: deque[PublishedEvent] = deque()
        self._bytes = 0
        self.base = 0
        self.until = 0

    def reset(self, number: int) -> None:
        """Drops all events and continues after `number`."""
        self._events.clear()
        self._bytes = 0
        self.base = self.until = number

    def extend(self, events: Sequence[PublishedEvent]) -> None:
        """Appends the events that follow `until`, in order and without a gap."""
        for published in events:
            self._events.append(published)
            self._bytes += len(published.event.data)
            self.until = published.number
        while len(self._events) > _MAX_EVENTS or self._bytes > _MAX_BYTES:
            oldest = self._events.popleft()
            self._bytes -= len(oldest.event.data)
            self.base = oldest.number

    def events_after(self, number: int) -> Iterator[PublishedEvent]:
        """Yields the events after `number`, which must not be below `base`."""
        return (published for published in self._events if published.number > number)
