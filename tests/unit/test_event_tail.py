"""The tail of published events: no gaps, limits in events and bytes."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from service.domain.events import Event
from service.postgres.feed import PublishedEvent
from service.usecases.event_tail import EventTail


def published(first: int, last: int, size: int) -> list[PublishedEvent]:
    event = Event(
        account_id=UUID(int=1),
        vmbox_id=UUID(int=2),
        sequence=1,
        event_id=UUID(int=3),
        type="vmbox.updated",
        created_at=datetime.now(UTC),
        data=b"x" * size,
    )
    return [PublishedEvent(number, event) for number in range(first, last + 1)]


@pytest.mark.parametrize(("size", "most"), [(10, 2_000), (1024**2, 16)])
def test_the_oldest_events_are_dropped_beyond_the_limits(size: int, most: int) -> None:
    recent = EventTail()
    recent.reset(100)
    recent.extend(published(101, 100 + most, size))
    assert (recent.base, recent.until) == (100, 100 + most)
    recent.extend(published(101 + most, 103 + most, size))
    assert (recent.base, recent.until) == (103, 103 + most)
    remembered = [item.number for item in recent.events_after(recent.base)]
    assert remembered == list(range(104, 104 + most))


def test_events_before_a_reset_are_dropped() -> None:
    recent = EventTail()
    recent.extend(published(1, 16, 1024**2))
    recent.reset(100)
    recent.extend(published(101, 116, 1024**2))
    assert recent.base == 100
    assert [item.number for item in recent.events_after(110)] == [111, 112, 113, 114, 115, 116]
