"""Deletion of orphans: audio objects that no row refers to."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from service.audio.keys import parse_object_key
from service.audio.store import AudioStore, ListedObject
from service.logs import get_logger
from service.postgres.keeper import StoredObject, find_media_orphans, find_orphans
from service.postgres.pool import Database
from service.usecases.audio_removal import remove_audio
from service.workers.progress import StepCounts, StepProgress

Item = TypeVar("Item")

log = get_logger(__name__)

BATCH = 1_000
PREFIXES = ("audio/", "media/")


@dataclass(frozen=True)
class Orphans:
    """Deletes objects that an interrupted upload or purge has left.

    An upload in progress has an object and no row yet, so only objects older than `grace`, by the
    time of the store, are checked.
    """

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    grace: timedelta
    prefixes: Sequence[str] = PREFIXES
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        """Keeps one page of the listing and one batch in memory."""
        before = self.clock() - self.grace
        listed, unrecognized, deleted = 0, 0, 0
        async for batch in in_batches(self._list(), self.batch):
            old = [item.key for item in batch if item.modified < before]
            parsed = _parse_keys(old)
            orphans = [key for month in parsed for key in await self._find(month, parsed[month])]
            await remove_audio(self.database, self.audio, orphans)
            listed += len(batch)
            unrecognized += len(old) - sum(map(len, parsed.values()))
            deleted += len(orphans)
            progress.advance(len(batch))
        if unrecognized:
            log.warning("objects not deleted: unrecognized keys", objects=unrecognized)
        return {"objects_listed": listed, "orphans_deleted": deleted}

    async def _list(self) -> AsyncIterator[ListedObject]:
        for prefix in self.prefixes:
            async for item in self.audio.list(prefix):
                yield item

    async def _find(self, month: int | None, objects: Sequence[StoredObject]) -> list[str]:
        async with self.database.connection() as connection:
            if month is None:
                return await find_media_orphans(connection, objects)
            return await find_orphans(connection, month, objects)


async def in_batches(items: AsyncIterator[Item], size: int) -> AsyncIterator[list[Item]]:
    """Yields lists of `size` items, and a last one that is shorter."""
    batch: list[Item] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def parse_key(key: str) -> tuple[int | None, StoredObject] | None:
    """Returns the month and the object of a key, or None if the key is unrecognized.

    The month of a greeting is None.
    """
    if (parsed := parse_object_key(key)) is None:
        return None
    item = StoredObject(
        key=key,
        account_id=parsed.account_id,
        owner_id=parsed.owner_id,
        original=parsed.original,
    )
    return parsed.month, item


def _parse_keys(keys: Iterable[str]) -> dict[int | None, list[StoredObject]]:
    """Parses keys and groups them by month, greetings under None. Ignores unrecognized keys."""
    parsed: dict[int | None, list[StoredObject]] = {}
    for key in keys:
        if (found := parse_key(key)) is not None:
            month, item = found
            parsed.setdefault(month, []).append(item)
    return parsed
