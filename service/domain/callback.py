"""Callbacks: the plan of calls about new messages, from `notify.callback` of a mailbox."""

from typing import Any, Self

import msgspec

from service.domain.schema import Document

_MAX_ATTEMPTS = 100
_MAX_WAIT_S = 7 * 86_400
_MAX_TIMEOUT_S = 3600


class CallbackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Plan of call requests to `number`: one request after each wait in `waits_s`."""

    number: str
    waits_s: tuple[int, ...]
    timeout_s: int

    @classmethod
    def of(cls, settings: Document) -> Self | None:
        """Returns the plan of a mailbox; None without a number or when callbacks are disabled."""
        notify = settings.get("notify")
        callback = notify.get("callback") if isinstance(notify, dict) else None
        if not isinstance(callback, dict) or callback.get("disabled") is True:
            return None
        number = callback.get("number")
        waits_s = _waits_s(callback)
        if not isinstance(number, str) or not number.strip() or not waits_s:
            return None
        timeout_s = _clamp(callback.get("timeout_s", 20), 1, _MAX_TIMEOUT_S)
        return cls(number=number.strip(), waits_s=waits_s, timeout_s=timeout_s)


def _waits_s(callback: dict[str, Any]) -> tuple[int, ...]:
    """Returns `schedule`. Without it, returns `interval_s` repeated `attempts` times."""
    if schedule := callback.get("schedule"):
        return tuple(_clamp(wait_s, 0, _MAX_WAIT_S) for wait_s in schedule[:_MAX_ATTEMPTS])
    attempts = _clamp(callback.get("attempts", 5), 0, _MAX_ATTEMPTS)
    return (_clamp(callback.get("interval_s", 300), 0, _MAX_WAIT_S),) * attempts


def _clamp(number: int, minimum: int, maximum: int) -> int:
    return max(minimum, min(number, maximum))
