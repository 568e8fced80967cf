"""Callbacks: the plan of calls about new messages, from `notify.callback` of a mailbox."""

import re
from typing import Any, Self

import msgspec

from service.domain.errors import Problem, Rule
from service.domain.schema import Document

DEFAULT_NUMBERS = re.compile(r"\+?[0-9]{1,15}")
"""Numbers that may be called: digits as in E.164, or an extension."""

_MAX_ATTEMPTS = 100
_MAX_WAIT_S = 7 * 86_400
_MAX_TIMEOUT_S = 3600


class CallbackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Plan of call requests to `number`: one request after each wait in `waits_s`."""

    number: str
    waits_s: tuple[int, ...]
    timeout_s: int

    @classmethod
    def of(cls, settings: Document, numbers: re.Pattern[str] = DEFAULT_NUMBERS) -> Self | None:
        """Returns the plan of a mailbox.

        Returns None if callbacks are disabled, or if the number does not match `numbers`.
        """
        callback = _callback_of(settings)
        number, waits_s = _number_of(settings), _waits_s(callback)
        if callback.get("disabled") is True or not numbers.fullmatch(number) or not waits_s:
            return None
        timeout_s = _clamp(callback.get("timeout_s", 20), 1, _MAX_TIMEOUT_S)
        return cls(number=number, waits_s=waits_s, timeout_s=timeout_s)


def find_number_problems(
    settings: Document, before: Document, numbers: re.Pattern[str]
) -> list[Problem]:
    """Returns a problem for a new callback number that does not match `numbers`."""
    number = _number_of(settings)
    if not number or number == _number_of(before) or numbers.fullmatch(number):
        return []
    field = "notify.callback.number"
    return [Problem(field=field, rule=Rule.WRONG_FORMAT, target="callback-number", value=number)]


def _callback_of(settings: Document) -> dict[str, Any]:
    notify = settings.get("notify")
    callback = notify.get("callback") if isinstance(notify, dict) else None
    return callback if isinstance(callback, dict) else {}


def _number_of(settings: Document) -> str:
    number = _callback_of(settings).get("number")
    return number.strip() if isinstance(number, str) else ""


def _waits_s(callback: dict[str, Any]) -> tuple[int, ...]:
    """Returns `schedule`. Without it, returns `interval_s` repeated `attempts` times."""
    if schedule := callback.get("schedule"):
        return tuple(_clamp(wait_s, 0, _MAX_WAIT_S) for wait_s in schedule[:_MAX_ATTEMPTS])
    attempts = _clamp(callback.get("attempts", 5), 0, _MAX_ATTEMPTS)
    return (_clamp(callback.get("interval_s", 300), 0, _MAX_WAIT_S),) * attempts


def _clamp(number: int, minimum: int, maximum: int) -> int:
    return max(minimum, min(number, maximum))
