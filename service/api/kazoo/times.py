"""Gregorian seconds: seconds since the year 0, as every time on this wire is written."""

from datetime import UTC, datetime

_UNIX_TO_GREGORIAN = 62_167_219_200
# What a datetime can hold: the years 1 and 9999.
_FIRST, _LAST = 31_622_400, 315_569_519_999


def gregorian(moment: datetime) -> int:
    """Whole seconds since 0000-01-01T00:00:00Z."""
    return int(moment.timestamp()) + _UNIX_TO_GREGORIAN


def from_gregorian(seconds: int) -> datetime | None:
    """The moment in aware UTC; None for what no calendar date is."""
    if not _FIRST <= seconds <= _LAST:
        return None
    return datetime.fromtimestamp(seconds - _UNIX_TO_GREGORIAN, UTC)
