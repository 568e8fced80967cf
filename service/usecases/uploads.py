"""Audio on its way in: spooled, bounded in number so that memory and disk are, then stored."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import msgspec

from service.audio.formats import ACCEPTED_TYPES, extension_of, is_accepted
from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.errors import (
    AudioEmpty,
    Conflict,
    NotFound,
    Refused,
    TooManyUploads,
    Unavailable,
)
from service.domain.message import Audio
from service.logs import get_logger
from service.metrics import UPLOADS_IN_FLIGHT, UPLOADS_REFUSED

__all__ = [
    "ACCEPTED_TYPES",
    "Spool",
    "Upload",
    "Uploads",
    "delete_on_error",
    "delete_orphan",
    "is_accepted",
    "store_upload",
]

log = get_logger(__name__)

# What an upload may bring before it takes a place: a client that trickles never holds one.
FREE_BYTES = 16 * 1024


class Upload(msgspec.Struct, frozen=True):
    """Audio as it was received: the bytes, the declared content type, a name if it was given one.

    Of the name only its extension counts, and only one that audio has.
    """

    spool: Spool
    content_type: str
    filename: str | None = None

    @property
    def extension(self) -> str:
        return extension_of(self.content_type, self.filename)


@dataclass
class Uploads:
    """The places for uploads in flight; one more than `most` is refused with TooManyUploads."""

    most: int
    max_bytes: int
    in_flight: int = 0

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """Where a request's audio is collected; more than `max_bytes` is refused."""
        with _SlotSpool(self) as spool:
            yield spool

    def enter(self) -> None:
        if self.in_flight >= self.most:
            UPLOADS_REFUSED.inc()
            raise TooManyUploads
        self.in_flight += 1
        UPLOADS_IN_FLIGHT.inc()

    def leave(self) -> None:
        self.in_flight -= 1
        UPLOADS_IN_FLIGHT.dec()


class _SlotSpool(Spool):
    def __init__(self, uploads: Uploads) -> None:
        super().__init__(uploads.max_bytes)
        self._uploads = uploads
        self._entered = False

    async def write(self, chunk: bytes) -> None:
        if not self._entered and self.size + len(chunk) > FREE_BYTES:
            self._uploads.enter()
            self._entered = True
        await super().write(chunk)

    def close(self) -> None:
        super().close()
        if self._entered:
            self._entered = False
            self._uploads.leave()


async def store_upload(store: AudioStore, key: str, upload: Upload) -> Audio:
    """Stores an upload under a key of its own, before any row says so. Raises AudioEmpty."""
    spool = upload.spool
    if spool.size == 0:
        raise AudioEmpty
    await store.put(key, spool, upload.content_type)
    return Audio(key=key, content_type=upload.content_type, size=spool.size, sha256=spool.sha256())


@asynccontextmanager
async def delete_on_error(store: AudioStore, audio: Audio | None) -> AsyncIterator[None]:
    """Deletes the object when the database says no.

    After an outage nobody knows whether the row was written: the object stays, and the orphan
    sweep decides.
    """
    try:
        yield
    except (NotFound, Conflict, Refused):
        if audio is not None:
            await delete_orphan(store, audio.key)
        raise


async def delete_orphan(store: AudioStore, key: str) -> None:
    """Deletes an object that no row points at; what cannot be deleted now is swept later."""
    try:
        await store.delete(key)
    except Unavailable:
        log.warning("An object without a row was left for the orphan sweep")
