"""Optimistic updates: a write succeeds only at the revision that was read."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.domain.errors import EditConflict

Result = TypeVar("Result")

_ATTEMPTS = 8


async def retry_on_conflict(attempt: Callable[[], Awaitable[Result | None]]) -> Result:
    """Repeats `attempt` until it returns a result; None means that another request was faster.

    Raises EditConflict after 8 attempts.
    """
    for _ in range(_ATTEMPTS):
        result = await attempt()
        if result is not None:
            return result
    raise EditConflict
