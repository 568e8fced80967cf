"""Time format of all dialects: ISO-8601 in UTC, in whole seconds."""

from datetime import UTC, datetime


def format_iso(moment: datetime) -> str:
    """Returns a text such as `2026-02-04T10:30:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
