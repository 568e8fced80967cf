"""Times on this wire: Gregorian seconds, which count from the year 0, and ISO-8601 in UTC."""

from datetime import UTC, datetime
from typing import Any

_UNIX_TO_GREGORIAN = 62_167_219_200
# The range of a datetime: the years 1 to 9999.
FIRST, LAST = 31_622_400, 315_569_519_999


def gregorian(moment: datetime) -> int:
    """Returns the whole seconds since 0000-01-01T00:00:00Z."""
    return int(moment.timestamp()) + _UNIX_TO_GREGORIAN


def from_gregorian(seconds: int) -> datetime | None:
    """Returns the time in aware UTC; None outside the calendar."""
    if not FIRST <= seconds <= LAST:
        return None
    return datetime.fromtimestamp(seconds - _UNIX_TO_GREGORIAN, UTC)


def parse_iso(value: Any) -> datetime | None:
    """Parses an ISO-8601 date and time to whole seconds; the default zone is UTC.

    Returns None for any other value, also for a number in a string.
    """
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.replace(microsecond=0)
