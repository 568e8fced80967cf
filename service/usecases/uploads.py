"""Uploads of audio: spooled first, then stored. Their number limits memory and disk space."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec

from service.audio.formats import (
    ACCEPTED_TYPES,
    GENERIC_TYPE,
    STORED_TYPES,
    is_accepted,
    types_like,
)
from service.audio.inspection import inspect
from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.account import AccountFacts, Quota, Quotas
from service.domain.errors import (
    Conflict,
    NotFound,
    QuotaExceeded,
    Refused,
    TooManyUploads,
    Unavailable,
)
from service.domain.message import Audio
from service.logs import get_logger
from service.metrics import UPLOADS_IN_FLIGHT, UPLOADS_REFUSED
from service.postgres.accounts import get_stored_bytes
from service.postgres.pool import Connection
from service.usecases.slots import SharedSlots

__all__ = [
    "ACCEPTED_TYPES",
    "DECLARABLE_TYPES",
    "STORED_TYPES",
    "Spool",
    "Upload",
    "Uploads",
    "check_stored_bytes",
    "delete_on_error",
    "delete_orphan",
    "is_accepted",
    "store_upload",
    "types_like",
]

log = get_logger(__name__)

DECLARABLE_TYPES = tuple(sorted(ACCEPTED_TYPES - {GENERIC_TYPE}))
"""Types of direct uploads, which must be known before the bytes."""

# Bytes that an upload may send before it needs a slot, so that slow clients do not hold slots.
FREE_BYTES = 16 * 1024
_SCARCE_SHARE = 0.75


class Upload(msgspec.Struct, frozen=True):
    """Received audio with its declared content type and an optional file name.

    Only an audio extension of the file name is used.
    """

    spool: Spool
    content_type: str
    filename: str | None = None


class StoredUpload(msgspec.Struct, frozen=True):
    """Stored audio and its measured length. A length that cannot be measured is 1 ms."""

    audio: Audio
    length_ms: int


class Uploads:
    """Slots for uploads in progress. One account can hold at most `per_account` of them.

    `spool` raises TooManyUploads if no slot is free.
    """

    def __init__(self, limit: int, per_account: int, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._slots = SharedSlots(limit, per_account, TooManyUploads)

    @property
    def is_scarce(self) -> bool:
        """True while more than three quarters of the slots are in use."""
        return self._slots.used > self._slots.size * _SCARCE_SHARE

    def spool(self, account_id: UUID, max_bytes: int | None = None) -> Spool:
        """Returns a spool for the audio of a request of the account.

        The default of `max_bytes` is the maximum of these uploads.
        """
        return _SlotSpool(self, account_id, max_bytes or self.max_bytes)

    def acquire_slot(self, account_id: UUID) -> None:
        try:
            self._slots.acquire(account_id)
        except TooManyUploads:
            UPLOADS_REFUSED.inc()
            raise
        UPLOADS_IN_FLIGHT.inc()

    def release_slot(self, account_id: UUID) -> None:
        self._slots.release(account_id)
        UPLOADS_IN_FLIGHT.dec()


class _SlotSpool(Spool):
    def __init__(self, uploads: Uploads, account_id: UUID, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._uploads = uploads
        self._account_id = account_id
        self._has_slot = False

    async def write(self, chunk: bytes) -> None:
        if not self._has_slot and self.size + len(chunk) > FREE_BYTES:
            self._uploads.acquire_slot(self._account_id)
            self._has_slot = True
        await super().write(chunk)

    def close(self) -> None:
        super().close()
        if self._has_slot:
            self._has_slot = False
            self._uploads.release_slot(self._account_id)


async def check_stored_bytes(
    connection: Connection, account: AccountFacts, quotas: Quotas, more: int
) -> None:
    """Raises QuotaExceeded when `more` bytes of audio exceed the quota of the account."""
    limit = quotas.limit_of(account, Quota.STORED_BYTES)
    if limit is not None and await get_stored_bytes(connection, account.account_id) + more > limit:
        raise QuotaExceeded(Quota.STORED_BYTES, limit)


async def store_upload(
    store: AudioStore, upload: Upload, key_of: Callable[[str], str]
) -> StoredUpload:
    """Stores an upload before its row is written, under the new key for its extension.

    Raises AudioEmpty, NotAudio.
    """
    spool = upload.spool
    properties = await inspect(spool, upload.content_type, upload.filename)
    key, content_type = key_of(properties.extension), properties.content_type
    await store.put(key, spool, content_type)
    audio = Audio(key=key, content_type=content_type, size=spool.size, sha256=spool.sha256())
    return StoredUpload(audio, properties.length_ms)


@asynccontextmanager
async def delete_on_error(store: AudioStore, audio: Audio | None) -> AsyncIterator[None]:
    """Deletes the object when the database refuses its row.

    After an outage the row may have been written, so the object stays for the orphan sweep.
    """
    try:
        yield
    except (NotFound, Conflict, Refused):
        if audio is not None:
            await delete_orphan(store, audio.key)
        raise


async def delete_orphan(store: AudioStore, key: str) -> None:
    """Deletes an object without a row; during an outage it stays for the orphan sweep."""
    try:
        await store.delete(key)
    except Unavailable:
        log.warning("orphaned object not deleted")
