"""Use cases of messages: store, complete, read, move, remove."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.audio.formats import length_ms
from service.audio.store import AudioStore, message_key
from service.domain.account import AccountFacts
from service.domain.errors import Invalid, Rule
from service.domain.message import (
    FUTURE_ALLOWANCE,
    Audio,
    Folder,
    Message,
    MessageId,
    NewMessage,
    month_after,
    month_of,
    retained_since,
    uuid7,
)
from service.postgres import messages as rows
from service.postgres.messages import Draft, MessageKey
from service.postgres.pool import Connection, Database
from service.usecases.idempotency import Claim, CompletedRequest, Idempotency, fingerprint
from service.usecases.partitions import with_partitions
from service.usecases.uploads import Upload, Uploads, delete_on_error, delete_orphan, store_upload

_UNKNOWN_LENGTH_MS = 1


@dataclass(frozen=True)
class Messages:
    """Use cases of messages. `clock` returns aware UTC.

    `hot` is a pool with generic plans, which suit statements on one message.
    """

    hot: Database
    audio: AudioStore
    idempotency: Idempotency
    clock: Callable[[], datetime]
    retention_days: int
    oldest_month: int | None
    uploads: Uploads

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
        VmboxNotFound, VmboxFull, TooManyPending, IdempotencyKeyInUse, IdempotencyKeyReused,
        Unavailable.
        """
        if key is None:
            return await self._store(account, vmbox_id, new, upload)
        content = fingerprint("store", new, upload and [upload.content_type, upload.spool.sha256()])
        async with self.idempotency.claim(account.account_id, vmbox_id, key, content) as claim:
            if isinstance(claim, CompletedRequest):
                return msgspec.convert(claim.answer, Message)
            return await self._store(account, vmbox_id, new, upload, claim)

    async def _store(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        new: NewMessage,
        upload: Upload | None,
        claim: Claim | None = None,
    ) -> Message:
        now = self._now()
        received_at = new.received_at or now
        self._check_time(received_at, now)
        message_id = MessageId.generate(received_at, now)
        audio = (
            None if upload is None else await self._store_audio(account, message_id, upload, now)
        )
        draft = Draft(
            id=message_id,
            folder=new.folder,
            received_at=received_at,
            length_ms=new.length_ms or await _length_ms_of(upload),
            caller_id=new.caller_id,
            call_id=new.call_id or os.urandom(12).hex(),
            from_uri=_with_realm(new.from_uri or new.caller_id.number, account.realm),
            to_uri=None if new.to_uri is None else _with_realm(new.to_uri, account.realm),
            realm=account.realm,
            audio=audio,
            retained=received_at >= retained_since(now, self.retention_days),
        )

        async def insert(connection: Connection) -> Message:
            return await rows.insert_message(
                connection,
                account.account_id,
                vmbox_id,
                draft,
                max_message_count=account.max_message_count,
                claim=claim,
            )

        async with delete_on_error(self.audio, audio):
            return await with_partitions(self.hot, message_id.month, now, insert)

    async def attach_audio(
        self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId, upload: Upload
    ) -> Message:
        """Adds or replaces the audio of a message; the old object is deleted last.

        Raises AudioEmpty, VmboxNotFound, MessageNotFound, MessageExpired, VmboxFull, Unavailable.
        """
        now = self._now()
        key = MessageKey(account.account_id, vmbox_id, message_id)
        await self.get(account, vmbox_id, message_id)
        audio = await self._store_audio(account, message_id, upload, now)
        length_ms = await _length_ms_of(upload)
        async with (
            delete_on_error(self.audio, audio),
            self.hot.connection() as connection,
        ):
            message, replaced_key = await rows.attach_audio(
                connection,
                key,
                audio,
                length_ms=length_ms,
                retained_since=retained_since(now, self.retention_days),
                max_message_count=account.max_message_count,
            )
        if replaced_key is not None:
            await delete_orphan(self.audio, replaced_key)
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
        """Moves a message to a folder; the current folder changes nothing.

        Raises VmboxNotFound, MessageNotFound, MessageExpired.
        """
        async with self.hot.connection() as connection:
            return await rows.change_folder(
                connection,
                MessageKey(account.account_id, vmbox_id, message_id),
                folder,
                retained_since=retained_since(self._now(), self.retention_days),
                reason=reason,
            )

    async def remove(self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId) -> Message:
        """Removes a message from all lists and counts. Raises VmboxNotFound, MessageNotFound."""
        async with self.hot.connection() as connection:
            return await rows.remove_message(
                connection, MessageKey(account.account_id, vmbox_id, message_id), reason="api"
            )

    def _now(self) -> datetime:
        """Returns the time in whole seconds, the precision of message times."""
        return self.clock().replace(microsecond=0)

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
    ) -> Audio:
        key = message_key(
            message_id.month,
            account.account_id,
            message_id.id,
            uuid7(now),
            upload.extension,
        )
        return await store_upload(self.audio, key, upload)


def _with_realm(address: str, realm: str) -> str:
    return address if "@" in address else f"{address}@{realm}"


async def _length_ms_of(upload: Upload | None) -> int:
    if upload is None:
        return _UNKNOWN_LENGTH_MS
    return await length_ms(upload.spool) or _UNKNOWN_LENGTH_MS
