"""Time formats of all dialects: ISO-8601 in UTC."""

from datetime import UTC, datetime


def format_iso(moment: datetime) -> str:
    """Returns a text such as `2026-02-04T10:30:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_iso_ms(moment: datetime) -> str:
    """Returns a text with milliseconds, such as `2026-02-04T10:30:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
