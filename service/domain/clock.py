"""The clock of every process."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Returns the current time as aware UTC, in microseconds."""
    return datetime.now(UTC)
