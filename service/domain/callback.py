"""When somebody is called about new messages: `notify.callback` of a box, with its defaults."""

from typing import Any, Self

import msgspec

from service.domain.schema import Document

_MOST_ATTEMPTS = 100
_LONGEST_WAIT_S = 7 * 86_400
_LONGEST_TIMEOUT_S = 3600


class CallbackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A request to call `number` after each of the waits."""

    number: str
    waits_s: tuple[int, ...]
    timeout_s: int

    @classmethod
    def of(cls, settings: Document) -> Self | None:
        """None when a box wants no calls: it names no number, or has switched them off."""
        notify = settings.get("notify")
        asked = notify.get("callback") if isinstance(notify, dict) else None
        if not isinstance(asked, dict) or asked.get("disabled") is True:
            return None
        number = asked.get("number")
        waits = _waits(asked)
        if not isinstance(number, str) or not number.strip() or not waits:
            return None
        timeout_s = _bounded(asked.get("timeout_s", 20), 1, _LONGEST_TIMEOUT_S)
        return cls(number=number.strip(), waits_s=waits, timeout_s=timeout_s)


def _waits(asked: dict[str, Any]) -> tuple[int, ...]:
    """A schedule as it stands, else so many attempts at one interval."""
    if schedule := asked.get("schedule"):
        return tuple(_bounded(wait, 0, _LONGEST_WAIT_S) for wait in schedule[:_MOST_ATTEMPTS])
    attempts = _bounded(asked.get("attempts", 5), 0, _MOST_ATTEMPTS)
    return (_bounded(asked.get("interval_s", 300), 0, _LONGEST_WAIT_S),) * attempts


def _bounded(number: int, least: int, most: int) -> int:
    return max(least, min(number, most))
