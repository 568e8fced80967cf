"""Tries a bucket once, for `aftertone settings check`: all that the service does with objects."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.errors import AudioMissing, StorageUnavailable

_CONTENT = b"aftertone settings check"


async def probe_bucket(store: AudioStore) -> list[str]:
    """What the store refuses, of a small object that is gone afterwards.

    Raises StorageUnavailable when the bucket cannot be reached at all.
    """
    await store.ping()
    key = f"audio/check/{uuid4().hex}"
    copied = f"{key}-copy"
    steps: dict[str, Callable[[], Awaitable[None]]] = {
        "putting": lambda: _put(store, key),
        "reading": lambda: _read(store, key),
        "copying": lambda: store.copy(key, copied),
        "listing": lambda: _list(store, key),
        "deleting": lambda: store.delete_many([key, copied]),
    }
    problems = []
    for step, attempt in steps.items():
        try:
            await attempt()
        except StorageUnavailable as error:
            problems.append(f"{step} an object under audio/ is refused: {error.reason}")
            if step == "putting":
                break
        except AudioMissing:
            problems.append(f"{step} an object that was just put finds none")
    return problems


async def _put(store: AudioStore, key: str) -> None:
    with Spool(len(_CONTENT)) as spool:
        await spool.write(_CONTENT)
        await store.put(key, spool, "application/octet-stream")


async def _read(store: AudioStore, key: str) -> None:
    async with store.read(key, 0, len(_CONTENT)) as blocks:
        content = b"".join([block async for block in blocks])
    if content != _CONTENT:
        raise StorageUnavailable("other bytes came back")


async def _list(store: AudioStore, key: str) -> None:
    if not [found async for found in store.list(key)]:
        raise AudioMissing
