"""Use cases of messages: store, complete, read, move, remove."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec

from service.audio.inspection import UNKNOWN_LENGTH_MS, inspect
from service.audio.keys import message_key
from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.account import NO_QUOTAS, AccountFacts, Quota, Quotas
from service.domain.audio_errors import AudioMissing
from service.domain.errors import Invalid, Refused, Rule
from service.domain.message import (
    FUTURE_ALLOWANCE,
    Folder,
    Message,
    MessageId,
    NewMessage,
    month_after,
    month_of,
    uuid7,
)
from service.postgres import messages as rows
from service.postgres.media import delete_waveform
from service.postgres.messages import Draft, MessageKey
from service.postgres.pool import Connection, Database
from service.usecases.audio_removal import try_remove_audio
from service.usecases.idempotency import Claim, CompletedRequest, Idempotency, fingerprint
from service.usecases.partitions import with_partitions
from service.usecases.retention import RetentionLookup
from service.usecases.uploads import StoredUpload, Upload, Uploads, delete_on_error, store_upload


@dataclass(frozen=True)
class Messages:
    """Use cases of messages. `clock` returns aware UTC.

    `hot` is a pool with generic plans, which suit statements on one message.
    """

    hot: Database
    audio: AudioStore
    idempotency: Idempotency
    clock: Callable[[], datetime]
    retention: RetentionLookup
    oldest_month: int | None
    uploads: Uploads
    quotas: Quotas = NO_QUOTAS

    async def store(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        new: NewMessage,
        upload: Upload | None,
        key: str | None = None,
    ) -> Message:
        """Stores a message; `attach_audio` can add the audio later.

        The audio object is written before the row, so a row never points to missing audio. A second
        request with the same `key` gets the response of the first. Raises Invalid, AudioEmpty,
        NotAudio, VmboxNotFound, VmboxFull, TooManyPending, QuotaExceeded, IdempotencyKeyInUse,
        IdempotencyKeyReused, Unavailable.
        """
        if key is None:
            return await self._store(account, vmbox_id, new, upload)
        audio = None if upload is None else (upload.content_type, upload.spool.sha256())
        async with self.claim(account, vmbox_id, key, new, audio) as claim:
            if isinstance(claim, Message):
                return claim
            return await self._store(account, vmbox_id, new, upload, claim)

    @asynccontextmanager
    async def claim(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        key: str,
        new: NewMessage,
        audio: tuple[str, bytes] | None,
    ) -> AsyncIterator[Claim | Message]:
        """Yields a claim on an idempotency key, or the message that was stored with it.

        `audio` is its type and SHA-256. Raises IdempotencyKeyInUse, IdempotencyKeyReused.
        """
        content = fingerprint("store", new, audio)
        async with self.idempotency.claim(account.account_id, vmbox_id, key, content) as claim:
            if isinstance(claim, CompletedRequest):
                yield msgspec.convert(claim.answer, Message)
            else:
                yield claim

    async def _store(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        new: NewMessage,
        upload: Upload | None,
        claim: Claim | None = None,
    ) -> Message:
        now = self.now()
        received_at = self.time_of(new, now)
        message_id = MessageId.generate(received_at, now)
        stored = (
            None if upload is None else await self._store_audio(account, message_id, upload, now)
        )
        async with delete_on_error(self.audio, None if stored is None else stored.audio):
            return await self.insert(
                account, vmbox_id, message_id, received_at, new, stored, claim=claim
            )

    async def insert(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        message_id: MessageId,
        received_at: datetime,
        new: NewMessage,
        stored: StoredUpload | None,
        *,
        claim: Claim | None,
    ) -> Message:
        """Writes the row of a message whose audio is in the store, and completes `claim` with it.

        Raises VmboxNotFound, VmboxFull, TooManyPending, QuotaExceeded, IdempotencyKeyInUse,
        MessageExists, Unavailable.
        """
        now = self.now()
        retention = await self.retention.of_vmbox(account, vmbox_id)
        draft = Draft(
            id=message_id,
            folder=new.folder,
            received_at=received_at,
            length_ms=new.length_ms or (UNKNOWN_LENGTH_MS if stored is None else stored.length_ms),
            caller_id=new.caller_id,
            call_id=new.call_id or os.urandom(12).hex(),
            from_uri=_with_realm(new.from_uri or new.caller_id.number, account.realm),
            to_uri=None if new.to_uri is None else _with_realm(new.to_uri, account.realm),
            realm=account.realm,
            audio=None if stored is None else stored.audio,
            retained=received_at >= retention.retained_since(now),
        )

        async def insert(connection: Connection) -> Message:
            return await rows.insert_message(
                connection,
                account.account_id,
                vmbox_id,
                draft,
                max_message_count=account.max_message_count,
                max_stored_bytes=self.quotas.limit_of(account, Quota.STORED_BYTES),
                claim=claim,
            )

        return await with_partitions(self.hot, message_id.month, now, insert)

    async def attach_audio(
        self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId, upload: Upload
    ) -> Message:
        """Adds or replaces the audio of a message; the old object is deleted last.

        A measured length is replaced too. A length that a client has sent stays. Raises AudioEmpty,
        NotAudio, VmboxNotFound, MessageNotFound, MessageExpired, MessageHeld, VmboxFull,
        QuotaExceeded, Unavailable.
        """
        now = self.now()
        key = MessageKey(account.account_id, vmbox_id, message_id)
        current = await self.get(account, vmbox_id, message_id)
        replaced_length_ms = await self._measure_stored(current)
        retention = await self.retention.of_vmbox(account, vmbox_id)
        stored = await self._store_audio(account, message_id, upload, now)
        async with (
            delete_on_error(self.audio, stored.audio),
            self.hot.connection() as connection,
        ):
            message, replaced_key = await rows.attach_audio(
                connection,
                key,
                stored.audio,
                length_ms=stored.length_ms,
                replaced_length_ms=replaced_length_ms,
                retained_since=retention.retained_since(now),
                max_message_count=account.max_message_count,
                max_stored_bytes=self.quotas.limit_of(account, Quota.STORED_BYTES),
            )
            if replaced_key is not None:
                await delete_waveform(connection, key, replaced_key)
        if replaced_key is not None:
            await try_remove_audio(self.hot, self.audio, replaced_key)
        return message

    async def get(self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId) -> Message:
        """Returns a message. Raises VmboxNotFound, MessageNotFound."""
        async with self.hot.connection() as connection:
            return await rows.get_message(
                connection, MessageKey(account.account_id, vmbox_id, message_id)
            )

    async def change_folder(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        message_id: MessageId,
        folder: Folder,
        reason: str = "api",
    ) -> Message:
        """Moves a message to a folder. Changes nothing if the message is in it already.

        Raises VmboxNotFound, MessageNotFound, MessageExpired.
        """
        retention = await self.retention.of_vmbox(account, vmbox_id)
        async with self.hot.connection() as connection:
            return await rows.change_folder(
                connection,
                MessageKey(account.account_id, vmbox_id, message_id),
                folder,
                retained_since=retention.retained_since(self.now()),
                reason=reason,
            )

    async def remove(self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId) -> Message:
        """Removes a message from all lists and counts. Raises VmboxNotFound, MessageNotFound."""
        async with self.hot.connection() as connection:
            message = await rows.remove_message(
                connection, MessageKey(account.account_id, vmbox_id, message_id), reason="api"
            )
        if message.audio is not None:
            self.audio.evict(message.audio.key)
        return message

    def now(self) -> datetime:
        """Returns the time in whole seconds, the precision of message times."""
        return self.clock().replace(microsecond=0)

    def time_of(self, new: NewMessage, now: datetime) -> datetime:
        """Returns the time of a new message; the default is `now`. Raises Invalid.

        A time after `now` becomes `now`, because the clock of the sender may be ahead.
        """
        received_at = new.received_at or now
        self._check_time(received_at, now)
        return min(received_at, now)

    def _check_time(self, received_at: datetime, now: datetime) -> None:
        oldest = self.oldest_month or month_after(month_of(now), -24)
        if month_of(received_at) < oldest or received_at > now + FUTURE_ALLOWANCE:
            raise Invalid.of(
                "timestamp",
                Rule.DATE_RANGE,
                value=received_at,
                message=f"timestamp must be between the month {oldest} and tomorrow",
            )

    async def _store_audio(
        self, account: AccountFacts, message_id: MessageId, upload: Upload, now: datetime
    ) -> StoredUpload:
        key_of = partial(
            message_key, message_id.month, account.account_id, message_id.id, uuid7(now)
        )
        return await store_upload(self.audio, upload, key_of)

    async def _measure_stored(self, message: Message) -> int:
        """Returns the length of the current audio, or 1 if it cannot be measured.

        A stored length that equals this one was measured; others were sent by the client.
        """
        audio = message.audio
        if audio is None or message.length_ms == UNKNOWN_LENGTH_MS:
            return UNKNOWN_LENGTH_MS
        try:
            with Spool(audio.size) as spool:
                async with self.audio.read(audio.key, 0, audio.size) as blocks:
                    async for block in blocks:
                        await spool.write(block)
                return (await inspect(spool, audio.content_type)).length_ms
        except (AudioMissing, Refused):
            return UNKNOWN_LENGTH_MS


def _with_realm(address: str, realm: str) -> str:
    return address if "@" in address else f"{address}@{realm}"
