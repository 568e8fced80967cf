"""Use cases of direct uploads: announce an upload to the audio store, and complete its message."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service.audio.formats import WAV, detect_format, determine_type
from service.audio.inspection import inspect
from service.audio.keys import message_key
from service.audio.spool import BytesNotFetched, Spool, StartSpool
from service.audio.store import ObjectStart, PresignedUpload
from service.domain.account import AccountFacts
from service.domain.audio_errors import (
    AudioMissing,
    AudioTooLarge,
    DirectUploadUnavailable,
    UploadMismatch,
    UploadMissing,
)
from service.domain.direct_upload import UPLOAD_LIFETIME, AudioDeclaration, DirectUpload
from service.domain.errors import (
    Conflict,
    Invalid,
    MessageExists,
    NotFound,
    Refused,
    Rule,
    VmboxNotFound,
)
from service.domain.message import Audio, Message, MessageId, NewMessage, month_of, uuid7
from service.postgres.batches import filter_existing_vmboxes
from service.security import UploadTokens
from service.usecases.idempotency import Claim, CompletedRequest, fingerprint
from service.usecases.messages import Messages
from service.usecases.uploads import StoredUpload, check_stored_bytes

_MAX_DOWNLOADS = 4


class AnnouncedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """Token of an upload, and the request with which the client sends the audio to the store."""

    token: str
    request: PresignedUpload
    upload: DirectUpload


@dataclass(frozen=True, kw_only=True)
class DirectUploads:
    """Use cases of direct uploads. `max_bytes` is the maximum size of their audio.

    An upload without a message has an object and no row, so the orphan sweep deletes it.
    """

    messages: Messages
    tokens: UploadTokens
    max_bytes: int
    # Downloads of whole audio to the local disk.
    downloads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_DOWNLOADS))

    async def announce(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        new: NewMessage,
        declared: AudioDeclaration,
        metadata: dict[str, Any],
        key: str | None = None,
    ) -> AnnouncedUpload:
        """Returns a new upload. A second call with the same `key` returns the same upload.

        Raises VmboxNotFound, DirectUploadUnavailable, Invalid, AudioTooLarge, QuotaExceeded,
        IdempotencyKeyInUse, IdempotencyKeyReused, UploadTokenInvalid when the upload of `key` has
        expired, Unavailable.
        """
        async with self.messages.hot.connection() as connection:
            if not await filter_existing_vmboxes(connection, account.account_id, [vmbox_id]):
                raise VmboxNotFound(vmbox_id.hex)
        if not self.messages.audio.has_public_url:
            raise DirectUploadUnavailable
        if declared.size > self.max_bytes:
            raise AudioTooLarge(self.max_bytes)
        idempotency = self.messages.idempotency
        if key is None:
            token = await self._issue(account, vmbox_id, new, declared, metadata)
        else:
            content = fingerprint("upload", new, declared)
            async with idempotency.claim(account.account_id, vmbox_id, key, content) as claim:
                if isinstance(claim, CompletedRequest):
                    token = claim.answer
                else:
                    token = await self._issue(account, vmbox_id, new, declared, metadata)
                    await idempotency.complete(claim, token)
        upload = self.read(account, vmbox_id, token)
        request = await self.messages.audio.presign_upload(
            upload.audio, upload.started_at, UPLOAD_LIFETIME
        )
        return AnnouncedUpload(token=token, request=request, upload=upload)

    async def _issue(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        new: NewMessage,
        declared: AudioDeclaration,
        metadata: dict[str, Any],
    ) -> str:
        now = self.messages.now()
        received_at = self.messages.time_of(new, now)
        async with self.messages.hot.connection() as connection:
            await check_stored_bytes(connection, account, self.messages.quotas, declared.size)
        message_id = MessageId.generate(received_at, now)
        decision = determine_type(b"", declared.content_type)
        key = message_key(
            message_id.month, account.account_id, message_id.id, uuid7(now), decision.extension
        )
        audio = Audio(
            key=key,
            content_type=decision.content_type,
            size=declared.size,
            sha256=declared.sha256,
        )
        upload = DirectUpload(
            message_id=message_id,
            received_at=received_at,
            audio=audio,
            metadata=metadata,
            started_at=now,
        )
        return self.tokens.issue(account.account_id, vmbox_id, upload)

    def read(self, account: AccountFacts, vmbox_id: UUID, token: str) -> DirectUpload:
        """Returns the upload of a token. Raises UploadTokenInvalid."""
        return self.tokens.read(token, account.account_id, vmbox_id, self.messages.clock())

    async def complete(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        new: NewMessage,
        upload: DirectUpload,
        slot_owner: UUID,
        key: str | None = None,
    ) -> Message:
        """Stores the message of an upload, once. A repeated call returns the same message.

        Raises Invalid, UploadMissing, UploadMismatch, AudioEmpty, NotAudio, and the errors of
        `Messages.store`.
        """
        if key is None:
            return await self._complete_once(account, vmbox_id, new, upload, slot_owner, None)
        audio = (upload.audio.content_type, upload.audio.sha256)
        async with self.messages.claim(account, vmbox_id, key, new, audio) as claim:
            if isinstance(claim, Message):
                return claim
            return await self._complete_once(account, vmbox_id, new, upload, slot_owner, claim)

    async def _complete_once(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        new: NewMessage,
        upload: DirectUpload,
        slot_owner: UUID,
        claim: Claim | None,
    ) -> Message:
        received_at = self._time_of(new, upload)
        try:
            stored = await self._verify(upload.audio, slot_owner)
            return await self.messages.insert(
                account, vmbox_id, upload.message_id, received_at, new, stored, claim=claim
            )
        except (NotFound, Conflict, Refused) as error:
            # The message of an earlier call may exist although this one was refused: the box may be
            # full now, or the audio replaced.
            try:
                message = await self.messages.get(account, vmbox_id, upload.message_id)
            except NotFound as missing:
                raise (missing if isinstance(error, MessageExists) else error) from None
        if claim is not None:
            await self.messages.idempotency.complete(claim, msgspec.to_builtins(message))
        return message

    def _time_of(self, new: NewMessage, upload: DirectUpload) -> datetime:
        if new.received_at is None:
            return upload.received_at
        received_at = self.messages.time_of(new, self.messages.now())
        month = upload.message_id.month
        if month_of(received_at) != month:
            raise Invalid.of(
                "timestamp",
                Rule.DATE_RANGE,
                value=new.received_at,
                message=f"timestamp must be in the month of the upload, {month}",
            )
        return received_at

    async def _verify(self, audio: Audio, slot_owner: UUID) -> StoredUpload:
        """Returns the audio with its measured length, after comparing it with the object."""
        try:
            start = await self.messages.audio.read_start(audio.key)
            if start.size != audio.size:
                raise UploadMismatch("size")
            if start.content_type != audio.content_type:
                raise UploadMismatch("content_type")
            length_ms = await self._measure_start(audio, start)
            if length_ms is None:
                length_ms = await self._measure_all(audio, start, slot_owner)
        except AudioMissing:
            raise UploadMissing from None
        return StoredUpload(audio, length_ms)

    async def _measure_start(self, audio: Audio, start: ObjectStart) -> int | None:
        """Returns the length of a WAV whose SHA-256 the store has verified, from its first bytes.

        Returns None if all bytes must be read.
        """
        is_complete = len(start.block) == start.size
        if is_complete or detect_format(start.block) is not WAV:
            return None
        if await self.messages.audio.read_sha256(audio.key) != audio.sha256:
            return None
        with StartSpool(start.size, start.block) as spool:
            try:
                return await _measure(spool, audio)
            except BytesNotFetched:
                return None

    async def _measure_all(self, audio: Audio, start: ObjectStart, slot_owner: UUID) -> int:
        """Returns the length of audio of any format. Compares its SHA-256, and fills the cache."""
        store, uploads = self.messages.audio, self.messages.uploads
        with uploads.spool(slot_owner, self.max_bytes) as spool:
            await spool.write(start.block)
            if rest := start.size - spool.size:
                async with self.downloads, store.read(audio.key, spool.size, rest) as blocks:
                    async for block in blocks:
                        await spool.write(block)
            if spool.sha256() != audio.sha256:
                raise UploadMismatch("sha256")
            length_ms = await _measure(spool, audio)
            await store.add_to_cache(audio.key, spool)
            return length_ms


async def _measure(spool: Spool, audio: Audio) -> int:
    properties = await inspect(spool, audio.content_type)
    if properties.content_type != audio.content_type:
        raise UploadMismatch("content_type")
    return properties.length_ms
