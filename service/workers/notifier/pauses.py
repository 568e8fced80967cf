"""Waiting, but not beyond an event."""

import asyncio


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Sleeps until `event` is set, `seconds` at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
