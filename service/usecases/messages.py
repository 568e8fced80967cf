"""What one may ask about messages: leave, complete, read, file, remove."""

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
from service.usecases.idempotency import Answered, Claim, Idempotency, fingerprint
from service.usecases.partitions import with_partitions
from service.usecases.uploads import Upload, Uploads, delete_on_error, delete_orphan, store_upload

Clock = Callable[[], datetime]

_UNKNOWN_LENGTH_MS = 1


@dataclass(frozen=True)
class Messages:
    """The use cases of messages. `clock` gives aware UTC.

    `inserts` is the same database, planned for statements that only insert.
    """

    database: Database
    inserts: Database
    audio: AudioStore
    idempotency: Idempotency
    clock: Clock
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
        """Leaves a message; without audio it waits for `attach_audio`.

        The object first, the row second: a row never points at audio that is not there. A second
        request under the same `key` gets the answer of the first. Raises Invalid, AudioEmpty,
        VmboxNotFound, VmboxFull, TooManyPending, KeyInUse, KeyReused, Unavailable.
        """
        if key is None:
            return await self._store(account, vmbox_id, new, upload)
        content = fingerprint("store", new, upload and [upload.content_type, upload.spool.sha256()])
        async with self.idempotency.claim(account.account_id, vmbox_id, key, content) as found:
            if isinstance(found, Answered):
                return msgspec.convert(found.answer, Message)
            return await self._store(account, vmbox_id, new, upload, found)

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
        message_id = MessageId.generate(received_at, now, os.urandom(10))
        audio = None if upload is None else await self._keep(account, message_id, upload, now)
        draft = Draft(
            id=message_id,
            folder=new.folder,
            received_at=received_at,
            length_ms=new.length_ms or await _measured(upload),
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
            return await with_partitions(self.inserts, message_id.month, now, insert)

    async def attach_audio(
        self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId, upload: Upload
    ) -> Message:
        """Gives a message its audio, or replaces what it has; the old object goes last.

        Raises AudioEmpty, VmboxNotFound, MessageNotFound, MessageExpired, VmboxFull, Unavailable.
        """
        now = self._now()
        place = MessageKey(account.account_id, vmbox_id, message_id)
        await self.get(account, vmbox_id, message_id)
        audio = await self._keep(account, message_id, upload, now)
        length_ms = await _measured(upload)
        async with (
            delete_on_error(self.audio, audio),
            self.database.connection() as connection,
        ):
            message, replaced_key = await rows.attach_audio(
                connection,
                place,
                audio,
                length_ms=length_ms,
                retained_since=retained_since(now, self.retention_days),
                max_message_count=account.max_message_count,
            )
        if replaced_key is not None:
            await delete_orphan(self.audio, replaced_key)
        return message

    async def get(self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId) -> Message:
        """One message. Raises VmboxNotFound, MessageNotFound."""
        async with self.database.connection() as connection:
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
        """Puts a message into a folder. Choosing the folder it is in changes nothing.

        Raises VmboxNotFound, MessageNotFound, MessageExpired.
        """
        async with self.database.connection() as connection:
            return await rows.change_folder(
                connection,
                MessageKey(account.account_id, vmbox_id, message_id),
                folder,
                retained_since=retained_since(self._now(), self.retention_days),
                reason=reason,
            )

    async def remove(self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId) -> Message:
        """Takes a message out of every list and count. Raises VmboxNotFound, MessageNotFound."""
        async with self.database.connection() as connection:
            return await rows.remove_message(
                connection, MessageKey(account.account_id, vmbox_id, message_id), reason="api"
            )

    def _now(self) -> datetime:
        """Whole seconds, as messages are timed."""
        return self.clock().replace(microsecond=0)

    def _check_time(self, received_at: datetime, now: datetime) -> None:
        oldest = self.oldest_month or month_after(month_of(now), -24)
        if month_of(received_at) < oldest or received_at > now + FUTURE_ALLOWANCE:
            raise Invalid.of(
                "timestamp",
                Rule.DATE_RANGE,
                value=received_at,
                message=f"timestamp must lie between the month {oldest} and tomorrow",
            )

    async def _keep(
        self, account: AccountFacts, message_id: MessageId, upload: Upload, now: datetime
    ) -> Audio:
        key = message_key(
            message_id.month,
            account.account_id,
            message_id.id,
            uuid7(now, os.urandom(10)),
            upload.extension,
        )
        return await store_upload(self.audio, key, upload)


def _with_realm(address: str, realm: str) -> str:
    return address if "@" in address else f"{address}@{realm}"


async def _measured(upload: Upload | None) -> int:
    if upload is None:
        return _UNKNOWN_LENGTH_MS
    return await length_ms(upload.spool) or _UNKNOWN_LENGTH_MS
