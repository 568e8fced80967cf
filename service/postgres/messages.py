"""Messages: one function per statement of messages.sql."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.account import Quota
from service.domain.errors import (
    IdempotencyKeyInUse,
    MessageExists,
    MessageExpired,
    MessageHeld,
    MessageNotFound,
    QuotaExceeded,
    TooManyPending,
    VmboxFull,
    VmboxNotFound,
    VoicemailError,
)
from service.domain.media import MediaFacts
from service.domain.message import (
    MAX_PENDING_PER_VMBOX,
    Audio,
    CallerId,
    Folder,
    ForwardStep,
    Message,
    MessageId,
)
from service.postgres.audio import audio_values, to_audio
from service.postgres.audit import event_values
from service.postgres.idempotency import Claim
from service.postgres.months import fetchrow_of_month
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("messages")
# A look-up is faster than a call of the enum.
FOLDERS = {folder.value: folder for folder in Folder}


class _Outcome(StrEnum):
    """Outcome of a statement."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"
    FULL = "full"
    TOO_MANY_PENDING = "too_many_pending"
    EXPIRED = "expired"
    HELD = "held"
    MESSAGE_NOT_FOUND = "message_not_found"
    VMBOX_NOT_FOUND = "vmbox_not_found"
    CLAIM_LOST = "claim_lost"
    QUOTA_EXCEEDED = "quota_exceeded"


class MessageKey(msgspec.Struct, frozen=True):
    """Account, box and id of a message."""

    account_id: UUID
    vmbox_id: UUID
    message_id: MessageId

    def values(self) -> dict[str, Any]:
        """Returns the parameters that select the message."""
        return {
            "account_id": self.account_id,
            "vmbox_id": self.vmbox_id,
            "month": self.message_id.month,
            "message_id": self.message_id.id,
        }


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Message to be stored. `to_uri` None means the address of the box in `realm`."""

    id: MessageId
    folder: Folder
    received_at: datetime
    length_ms: int
    caller_id: CallerId
    call_id: str
    from_uri: str
    to_uri: str | None
    realm: str
    audio: Audio | None
    retained: bool

    def values(self) -> dict[str, Any]:
        """Returns the parameters of its columns."""
        return {
            "folder": self.folder,
            "received_at": self.received_at,
            "length_ms": self.length_ms,
            "caller_id_number": self.caller_id.number,
            "caller_id_name": self.caller_id.name,
            "call_id": self.call_id,
            "from_uri": self.from_uri,
            "to_uri": self.to_uri,
            "realm": self.realm,
            **audio_values(self.audio),
        }


async def insert_message(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    draft: Draft,
    *,
    max_message_count: int | None,
    max_stored_bytes: int | None = None,
    claim: Claim | None = None,
) -> Message:
    """Stores a message, counts it, appends its event, and completes `claim` with the message.

    `max_message_count` is the limit of a box without its own limit. `max_stored_bytes` is the quota
    of the account. Raises VmboxNotFound, VmboxFull, TooManyPending, QuotaExceeded,
    MessageExists, IdempotencyKeyInUse when the claim was lost, and MissingPartition when the
    partition of the month must be created first.
    """
    key = MessageKey(account_id, vmbox_id, draft.id)
    insertion = _SQL["insert_message"].fetchrow(
        connection,
        **key.values(),
        **draft.values(),
        counted=draft.audio is not None and draft.retained,
        account_max_message_count=max_message_count,
        max_pending=MAX_PENDING_PER_VMBOX,
        max_stored_bytes=max_stored_bytes,
        **event_values(),
        claim_key=claim and claim.key,
        claim_token=claim and claim.token,
        answer=claim and msgspec.to_builtins(_answer(vmbox_id, draft)),
    )
    try:
        row = await insertion
    except asyncpg.UniqueViolationError:
        raise MessageExists from None
    return _message_or_raise(row, key)


async def attach_audio(
    connection: Connection,
    key: MessageKey,
    audio: Audio,
    *,
    length_ms: int,
    replaced_length_ms: int = 1,
    retained_since: datetime,
    max_message_count: int | None,
    max_stored_bytes: int | None = None,
) -> tuple[Message, str | None]:
    """Sets the audio of a message. Returns the message and the key of the replaced audio.

    `length_ms` replaces only a stored length of 1 or `replaced_length_ms`, the measured length of
    the replaced audio. Raises VmboxNotFound, MessageNotFound, MessageExpired, MessageHeld,
    VmboxFull, QuotaExceeded.
    """
    row = await fetchrow_of_month(
        connection,
        _SQL["attach_audio"],
        **key.values(),
        **audio_values(audio),
        length_ms=length_ms,
        replaced_length_ms=replaced_length_ms,
        retained_since=retained_since,
        account_max_message_count=max_message_count,
        max_stored_bytes=max_stored_bytes,
        **event_values(),
    )
    return _message_or_raise(row, key, retained_since), None if row is None else row["replaced_key"]


async def change_folder(
    connection: Connection,
    key: MessageKey,
    folder: Folder,
    *,
    retained_since: datetime,
    reason: str,
) -> Message:
    """Changes the folder of a message. Raises VmboxNotFound, MessageNotFound, MessageExpired."""
    row = await fetchrow_of_month(
        connection,
        _SQL["change_folder"],
        **key.values(),
        folder=folder,
        retained_since=retained_since,
        reason=reason,
        **event_values(),
    )
    return _message_or_raise(row, key, retained_since)


async def remove_message(connection: Connection, key: MessageKey, *, reason: str) -> Message:
    """Removes a message from all lists and counts. Raises VmboxNotFound, MessageNotFound."""
    row = await fetchrow_of_month(
        connection, _SQL["remove_message"], **key.values(), reason=reason, **event_values()
    )
    return _message_or_raise(row, key)


async def get_message(connection: Connection, key: MessageKey) -> Message:
    """Returns a message. Raises VmboxNotFound, MessageNotFound."""
    row = await fetchrow_of_month(connection, _SQL["get_message"], **key.values())
    if row is None:
        raise VmboxNotFound(key.vmbox_id.hex)
    if row["id"] is None:
        raise MessageNotFound(str(key.message_id))
    return to_message(row)


async def get_received_at(connection: Connection, key: MessageKey) -> datetime:
    """Returns the time of a message, removed or not. Raises VmboxNotFound, MessageNotFound."""
    row = await fetchrow_of_month(connection, _SQL["get_received_at"], **key.values())
    if row is None:
        raise VmboxNotFound(key.vmbox_id.hex)
    received_at: datetime | None = row["received_at"]
    if received_at is None:
        raise MessageNotFound(str(key.message_id))
    return received_at


def _message_or_raise(
    row: asyncpg.Record | None, key: MessageKey, retained_since: datetime | None = None
) -> Message:
    if row is None:
        raise VmboxNotFound(key.vmbox_id.hex)
    match _Outcome(row["outcome"]):
        case _Outcome.DONE | _Outcome.UNCHANGED | _Outcome.REPLACED:
            return to_message(row)
        case failure:
            raise _error(failure, row, key, retained_since)


def _error(
    outcome: _Outcome, row: asyncpg.Record, key: MessageKey, retained_since: datetime | None
) -> VoicemailError:
    match outcome:
        case _Outcome.FULL:
            return VmboxFull(row["max_message_count"], row["message_count"])
        case _Outcome.QUOTA_EXCEEDED:
            return QuotaExceeded(Quota.STORED_BYTES, row["max_stored_bytes"])
        case _Outcome.CLAIM_LOST:
            return IdempotencyKeyInUse()
        case _Outcome.TOO_MANY_PENDING:
            return TooManyPending(MAX_PENDING_PER_VMBOX)
        case _Outcome.EXPIRED if retained_since is not None:
            return MessageExpired(str(key.message_id), retained_since)
        case _Outcome.HELD:
            return MessageHeld(str(key.message_id))
        case _Outcome.VMBOX_NOT_FOUND:
            return VmboxNotFound(key.vmbox_id.hex)
        case _:
            return MessageNotFound(str(key.message_id))


def _answer(vmbox_id: UUID, draft: Draft) -> Message:
    """Returns the message as it will be stored; the statement adds a missing `to_uri`."""
    return Message(
        id=draft.id,
        vmbox_id=vmbox_id,
        folder=draft.folder,
        received_at=draft.received_at,
        length_ms=draft.length_ms,
        caller_id=draft.caller_id,
        call_id=draft.call_id,
        from_uri=draft.from_uri,
        to_uri=draft.to_uri or "",
        audio=draft.audio,
    )


def to_message(row: asyncpg.Record) -> Message:
    """Returns the message of a row."""
    media = row["media"]
    return Message(
        id=MessageId(row["month"], row["id"]),
        vmbox_id=row["vmbox_id"],
        folder=FOLDERS[row["folder"]],
        received_at=row["received_at"],
        length_ms=row["length_ms"],
        caller_id=CallerId(row["caller_id_number"], row["caller_id_name"]),
        call_id=row["call_id"],
        from_uri=row["from_uri"],
        to_uri=row["to_uri"],
        audio=to_audio(row),
        transcription=row["transcription"],
        media=None if media is None else msgspec.convert(media, MediaFacts),
        forwarded=_to_steps(row["forwarded"]),
    )


def _to_steps(value: Any) -> tuple[ForwardStep, ...]:
    return () if value is None else msgspec.convert(value, tuple[ForwardStep, ...])
