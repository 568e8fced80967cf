"""Setting every lamp from the database: for a bucket that is new, and by hand."""

import asyncio
from uuid import UUID

from service.domain.lamp import LampKey
from service.postgres.lamps import list_lamp_keys
from service.postgres.pool import Database
from service.workers.channels.mwi.consumer import LampSink
from service.workers.progress import StepProgress

_PAGE = 500
_AT_ONCE = 16


async def fill(levels: LampSink, database: Database, progress: StepProgress | None = None) -> int:
    """Sets the lamps of all boxes, and looks at those that are set and have none; how many."""
    progress = progress or StepProgress()
    living: set[LampKey] = set()
    after = LampKey(UUID(int=0), UUID(int=0))
    while page := await _page(database, after):
        await _set(levels, page)
        living.update(page)
        after = page[-1]
        progress.advance(len(page))
    left = [key for key in await levels.bucket.keys() if key not in living]
    for begin in range(0, len(left), _PAGE):
        await _set(levels, left[begin : begin + _PAGE])
    return len(living)


async def _page(database: Database, after: LampKey) -> list[LampKey]:
    async with database.connection() as connection:
        return await list_lamp_keys(connection, after, _PAGE)


async def _set(levels: LampSink, keys: list[LampKey]) -> None:
    free = asyncio.Semaphore(_AT_ONCE)

    async def set_one(key: LampKey) -> None:
        async with free:
            await levels.set(key, None)

    results = await asyncio.gather(*map(set_one, keys), return_exceptions=True)
    for failure in results:
        if failure is not None:
            raise failure
