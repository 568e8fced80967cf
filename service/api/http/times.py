"""Times that every dialect writes: ISO-8601 in UTC, in whole seconds."""

from datetime import UTC, datetime


def iso(moment: datetime) -> str:
    """As `2026-02-04T10:30:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
