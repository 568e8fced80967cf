"""Removal of audio with its renditions."""

from collections.abc import Iterable

from service.audio.keys import parse_object_key
from service.audio.store import AudioStore
from service.domain.errors import Unavailable
from service.logs import get_logger
from service.postgres.pool import Database
from service.postgres.renditions import RemovedObject, delete_renditions

log = get_logger(__name__)


async def try_remove_audio(database: Database, audio: AudioStore, key: str) -> None:
    """Deletes an object without a row and its renditions. During an outage they stay for the
    orphan sweep."""
    try:
        await remove_audio(database, audio, [key])
    except Unavailable:
        log.warning("orphaned audio not deleted")


async def remove_audio(database: Database, audio: AudioStore, keys: Iterable[str]) -> None:
    """Deletes objects without a row, and the renditions of originals: rows first, then objects.

    The step `orphans` of the keeper deletes what an interruption leaves.
    """
    removed = set(keys)
    parsed = [item for item in map(parse_object_key, removed) if item is not None]
    if parsed:
        async with database.connection() as connection:
            removed |= set(
                await delete_renditions(
                    connection,
                    [
                        RemovedObject(item.account_id, item.original, item.key)
                        if item.original
                        else RemovedObject(item.account_id, item.key)
                        for item in parsed
                    ],
                )
            )
    await audio.delete_many(sorted(removed))
