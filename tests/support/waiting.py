"""Waiting on a condition. Tests do not sleep for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

DEADLINE_S = 120.0
"""Deadline for everything that a test waits for; long enough for a busy machine."""


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]],
    within_s: float = DEADLINE_S,
    every_s: float = 0.02,
) -> None:
    """Returns once `condition` holds; fails when it does not hold before the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        result = condition()
        if result if isinstance(result, bool) else await result:
            return
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(every_s)
