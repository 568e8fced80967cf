"""Rules of the greetings of a mailbox: which one callers hear, and when."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from service.domain.errors import Problem, Rule
from service.domain.formats import is_time
from service.domain.greeting import Greeting
from service.domain.schema import Document

TEMPORARY_START = "temporary_unavailable_start"
TEMPORARY_END = "temporary_unavailable_end"


class GreetingRole(StrEnum):
    """Use of a greeting by its mailbox: its key in `media`."""

    UNAVAILABLE = "unavailable"
    TEMPORARY = "temporary_unavailable"
    BUSY = "busy"
    NAME = "name"


class PlayingGreeting(msgspec.Struct, frozen=True, kw_only=True):
    """Greeting that plays now. `changes_at` is the next start or end of the temporary greeting."""

    role: GreetingRole
    greeting: Greeting
    changes_at: datetime | None


def has_greeting(settings: Document) -> bool:
    """Returns True if the mailbox has a greeting for callers. A recorded name does not count."""
    media = _media_of(settings)
    return any(role in media for role in GreetingRole if role is not GreetingRole.NAME)


def playing_order(settings: Document, now: datetime, *, is_busy: bool) -> list[GreetingRole]:
    """Returns the greetings that may play, the preferred one first.

    The temporary greeting replaces all others between its start and its end.
    """
    if settings.get("skip_greeting") is True:
        return []
    start, end = _temporary_times(settings)
    is_temporary = (start is None or start <= now) and (end is None or now < end)
    return [
        *([GreetingRole.TEMPORARY] if is_temporary else []),
        *([GreetingRole.BUSY] if is_busy else []),
        GreetingRole.UNAVAILABLE,
    ]


def next_change(settings: Document, now: datetime) -> datetime | None:
    """Returns the next start or end of the temporary greeting, or None if there is none."""
    if GreetingRole.TEMPORARY not in _media_of(settings):
        return None
    return min((time for time in _temporary_times(settings) if time and time > now), default=None)


def find_time_problems(settings: Document) -> list[Problem]:
    """Returns a problem if the temporary greeting ends before it starts."""
    start, end = _temporary_times(settings)
    if start is None or end is None or start < end:
        return []
    field, text = f"media.{TEMPORARY_END}", f"{TEMPORARY_END} must be after {TEMPORARY_START}"
    value = _media_of(settings)[TEMPORARY_END]
    return [Problem(field=field, rule=Rule.DATE_RANGE, value=value, message=text)]


def _temporary_times(settings: Document) -> tuple[datetime | None, datetime | None]:
    media = _media_of(settings)
    return _time_of(media.get(TEMPORARY_START)), _time_of(media.get(TEMPORARY_END))


def _time_of(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) and is_time(value) else None


def _media_of(settings: Document) -> dict[str, Any]:
    media = settings.get("media")
    return media if isinstance(media, dict) else {}
