"""Times on this wire: Gregorian seconds, which count from the year 0, and ISO-8601 in UTC."""

from datetime import UTC, datetime
from typing import Any

_UNIX_TO_GREGORIAN = 62_167_219_200
# What a datetime can hold: the years 1 and 9999.
FIRST, LAST = 31_622_400, 315_569_519_999


def gregorian(moment: datetime) -> int:
    """Whole seconds since 0000-01-01T00:00:00Z."""
    return int(moment.timestamp()) + _UNIX_TO_GREGORIAN


def from_gregorian(seconds: int) -> datetime | None:
    """The moment in aware UTC; None for what no calendar date is."""
    if not FIRST <= seconds <= LAST:
        return None
    return datetime.fromtimestamp(seconds - _UNIX_TO_GREGORIAN, UTC)


def parse_iso(value: Any) -> datetime | None:
    """The moment that an ISO-8601 date and time names, in whole seconds; without a zone it is UTC.

    None for everything else, numbers in a string too.
    """
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.replace(microsecond=0)
