"""Times and lengths in other systems, as text or numbers of any type."""

from datetime import UTC, datetime
from typing import Any

_MAX_S = 24 * 60 * 60


def time_of_epoch(value: Any) -> datetime | None:
    """Returns the time of a positive number of seconds since 1970, or None for other values."""
    try:
        return datetime.fromtimestamp(int(value), UTC) if int(value) > 0 else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def seconds_of(value: Any) -> int | None:
    """Returns a number of seconds up to a day, or None for other values."""
    try:
        return int(value) if 0 <= int(value) <= _MAX_S else None
    except (TypeError, ValueError, OverflowError):
        return None


def length_ms_of(seconds: Any) -> int | None:
    """Returns a length in milliseconds, or None if it is invalid or 0, which can be rounded."""
    return (seconds_of(seconds) or 0) * 1000 or None
