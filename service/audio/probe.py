"""Test of a bucket for `aftertone settings check`: performs each operation that is used."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.audio_errors import AudioMissing
from service.domain.errors import StorageUnavailable

_CONTENT = b"aftertone settings check"


async def probe_bucket(store: AudioStore) -> list[str]:
    """Returns the problems found with a small object, which is deleted at the end.

    Raises StorageUnavailable if the bucket cannot be reached.
    """
    await store.ping()
    key = f"audio/check/{uuid4().hex}"
    copy_key = f"{key}-copy"
    steps: dict[str, Callable[[], Awaitable[None]]] = {
        "storing": lambda: _put(store, key),
        "reading": lambda: _read(store, key),
        "copying": lambda: store.copy(key, copy_key),
        "listing": lambda: _list(store, key),
        "deleting": lambda: store.delete_many([key, copy_key]),
    }
    problems = []
    for step, attempt in steps.items():
        try:
            await attempt()
        except StorageUnavailable as error:
            problems.append(f"{step} an object under audio/ failed: {error.reason}")
            if step == "storing":
                break
        except AudioMissing:
            problems.append(f"{step} an object failed: the object that was just stored is missing")
    return problems


async def _put(store: AudioStore, key: str) -> None:
    with Spool(len(_CONTENT)) as spool:
        await spool.write(_CONTENT)
        await store.put(key, spool, "application/octet-stream")


async def _read(store: AudioStore, key: str) -> None:
    async with store.read(key, 0, len(_CONTENT)) as blocks:
        content = b"".join([block async for block in blocks])
    if content != _CONTENT:
        raise StorageUnavailable("the content differs from what was stored")


async def _list(store: AudioStore, key: str) -> None:
    if not [item async for item in store.list(key)]:
        raise AudioMissing
