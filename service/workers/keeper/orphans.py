"""The orphan sweep: deletes audio objects that no row points at, once they are old enough."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.audio.store import AudioStore, ListedObject
from service.logs import get_logger
from service.postgres.keeper import StoredObject, find_media_orphans, find_orphans
from service.postgres.pool import Database
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

BATCH = 1_000
_PREFIXES = ("audio/", "media/")
# As service.audio.store spells the keys of messages, with a month, and of greetings, without.
_KEY = re.compile(
    r"(?:audio/(\d{6})|media)/([0-9a-f]{32})/([0-9a-f]{32})/[0-9a-f]{32}\.\w+", re.ASCII
)


@dataclass(frozen=True)
class Orphans:
    """Objects of a store that was cut short before its row, or of a purge after it.

    A store in flight has its object and not yet its row: only objects older than `grace`, by the
    store's own time, are looked up. `clock` gives aware UTC.
    """

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    grace: timedelta
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        """Memory does not grow with the number of objects: a page of the list, and one batch."""
        before = self.clock() - self.grace
        listed, strange, deleted = 0, 0, 0
        async for batch in _batches(self._listed(), self.batch):
            old = [item.key for item in batch if item.modified < before]
            named = _by_month(old)
            orphans = [key for month in named for key in await self._orphans(month, named[month])]
            await self.audio.delete_many(orphans)
            listed += len(batch)
            strange += len(old) - sum(map(len, named.values()))
            deleted += len(orphans)
            progress.advance(len(batch))
        if strange:
            log.warning(
                "Objects with names of no message or greeting were left alone", objects=strange
            )
        return {"objects_listed": listed, "orphans_deleted": deleted}

    async def _listed(self) -> AsyncIterator[ListedObject]:
        for prefix in _PREFIXES:
            async for item in self.audio.list(prefix):
                yield item

    async def _orphans(self, month: int | None, objects: Sequence[StoredObject]) -> list[str]:
        async with self.database.connection() as connection:
            if month is None:
                return await find_media_orphans(connection, objects)
            return await find_orphans(connection, month, objects)


async def _batches(
    items: AsyncIterator[ListedObject], size: int
) -> AsyncIterator[list[ListedObject]]:
    batch: list[ListedObject] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _by_month(keys: Iterable[str]) -> dict[int | None, list[StoredObject]]:
    """What the keys name, by month, greetings under None; a key that names nothing is left out."""
    named: dict[int | None, list[StoredObject]] = {}
    for key in keys:
        if (match := _KEY.fullmatch(key)) is not None:
            month, account, owner = match.groups()
            item = StoredObject(key=key, account_id=UUID(account), owner_id=UUID(owner))
            named.setdefault(int(month) if month else None, []).append(item)
    return named
