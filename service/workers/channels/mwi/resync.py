"""Resync: sets every lamp from the database."""

import asyncio
from uuid import UUID

from service.domain.lamp import LampKey
from service.postgres.lamps import list_lamp_keys
from service.postgres.pool import Database
from service.workers.channels.mwi.consumer import LampSink
from service.workers.progress import StepProgress

_PAGE = 500
_CONCURRENCY = 16


async def resync(sink: LampSink, database: Database, progress: StepProgress | None = None) -> int:
    """Sets the lamps of all boxes, and clears lamps without a box. Returns the number of boxes."""
    progress = progress or StepProgress()
    boxes: set[LampKey] = set()
    after = LampKey(UUID(int=0), UUID(int=0))
    while page := await _read_page(database, after):
        await _set(sink, page)
        boxes.update(page)
        after = page[-1]
        progress.advance(len(page))
    stale = [key for key in await sink.bucket.keys() if key not in boxes]
    for start in range(0, len(stale), _PAGE):
        await _set(sink, stale[start : start + _PAGE])
    return len(boxes)


async def _read_page(database: Database, after: LampKey) -> list[LampKey]:
    async with database.connection() as connection:
        return await list_lamp_keys(connection, after, _PAGE)


async def _set(sink: LampSink, keys: list[LampKey]) -> None:
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def set_lamp(key: LampKey) -> None:
        async with slots:
            await sink.set(key, None)

    results = await asyncio.gather(*map(set_lamp, keys), return_exceptions=True)
    for failure in results:
        if failure is not None:
            raise failure
