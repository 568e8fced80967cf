"""Times in this dialect: Gregorian seconds, which count from the year 0, and ISO-8601 in UTC."""

from datetime import UTC, datetime
from typing import Any

from service.api.http.times import format_iso
from service.api.kazoo.profiles import WireProfile
from service.domain.errors import Problem, Rule

TIME_FORMAT = "gregorian-seconds-or-iso-8601"
UNIX_TO_GREGORIAN = 62_167_219_200
# The range of a datetime: the years 1 to 9999.
FIRST, LAST = 31_622_400, 315_569_519_999
# Clients that send Unix times by mistake. No message has such a Gregorian time.
_UNIX_UNITS = {
    "Unix seconds": (10**8, 10**10),
    "Unix milliseconds": (10**12, 10**13),
}


def gregorian(moment: datetime) -> int:
    """Returns the whole seconds since 0000-01-01T00:00:00Z."""
    return int(moment.timestamp()) + UNIX_TO_GREGORIAN


def format_time(moment: datetime, profile: WireProfile) -> int | str:
    """Returns a time in the format of a profile."""
    return format_iso(moment) if profile is WireProfile.AUDIAN else gregorian(moment)


def from_gregorian(seconds: int) -> datetime | None:
    """Returns the time in aware UTC; None outside the calendar."""
    if not FIRST <= seconds <= LAST:
        return None
    return datetime.fromtimestamp(seconds - UNIX_TO_GREGORIAN, UTC)


def parse_iso(value: Any) -> datetime | None:
    """Parses an ISO-8601 date and time to whole seconds; the default zone is UTC.

    Returns None for any other value, also for a number in a string.
    """
    if not isinstance(value, str) or not ("T" in value or value[10:11] == " "):
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.replace(microsecond=0)


def parse_time(value: Any) -> datetime | None:
    """Parses Gregorian seconds, also as text, or an ISO-8601 time; None for any other value."""
    seconds = _integer_of(value)
    if seconds is None:
        return parse_iso(value)
    return None if unix_problem("", value) else from_gregorian(seconds)


def unix_problem(field: str, value: Any) -> Problem | None:
    """Returns the problem of a value that looks like a Unix time; None for any other value."""
    seconds = _integer_of(value)
    for unit, (first, end) in _UNIX_UNITS.items():
        if seconds is not None and first <= seconds < end:
            text = f"{field} looks like {unit}; this API takes Gregorian seconds"
            return Problem(field=field, rule=Rule.DATE_RANGE, value=seconds, message=text)
    return None


def time_problem(field: str, value: Any) -> Problem:
    """Returns the problem of a value that is not a time."""
    text = f"{field} must be Gregorian seconds or an ISO-8601 time, such as 2026-02-04T10:30:00Z"
    return unix_problem(field, value) or Problem(
        field=field,
        rule=Rule.WRONG_FORMAT,
        target=TIME_FORMAT,
        value=str(value)[:64],
        message=text,
    )


def _integer_of(value: Any) -> int | None:
    if isinstance(value, float):
        # JavaScript divides its milliseconds by 1000.
        return int(value) if abs(value) < 10**15 else None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 15:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
