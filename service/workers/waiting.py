"""Sleep that an event ends early."""

import asyncio


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Waits until `event` is set, at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
