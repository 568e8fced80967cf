"""Messages: rows <-> domain; one function per statement of messages.sql."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg
import msgspec

from service.domain.errors import (
    IdempotencyKeyInUse,
    MessageExpired,
    MessageNotFound,
    TooManyPending,
    VmboxFull,
    VmboxNotFound,
    VoicemailError,
)
from service.domain.message import (
    MAX_PENDING_PER_VMBOX,
    Audio,
    CallerId,
    Folder,
    Message,
    MessageId,
)
from service.postgres.audio import audio_columns, to_audio
from service.postgres.idempotency import Claim
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.traces import traceparent

_SQL = load("messages")


class _Outcome(StrEnum):
    """What a statement reports of itself."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"
    FULL = "full"
    TOO_MANY_PENDING = "too_many_pending"
    EXPIRED = "expired"
    MESSAGE_GONE = "message_gone"
    VMBOX_GONE = "vmbox_gone"
    CLAIM_LOST = "claim_lost"


class MessageKey(msgspec.Struct, frozen=True):
    """Where a message lies: its account, its box, its id."""

    account_id: UUID
    vmbox_id: UUID
    message_id: MessageId


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A message before it is stored; `to_uri` None means the box's own address in `realm`."""

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


async def insert_message(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    draft: Draft,
    *,
    max_message_count: int | None,
    claim: Claim | None = None,
) -> Message:
    """Stores a message with its counts and its event, and the answer to `claim` when there is one.

    `max_message_count` is the account's, for a box without one of its own. Raises VmboxNotFound,
    VmboxFull, TooManyPending, KeyInUse when the claim was lost; MissingPartition when the month
    must be made first.
    """
    audio = draft.audio
    row = await connection.fetchrow(
        _SQL["insert_message"],
        account_id,
        vmbox_id,
        draft.id.month,
        draft.id.id,
        draft.folder,
        audio is not None and draft.retained,
        draft.received_at,
        draft.length_ms,
        draft.caller_id.number,
        draft.caller_id.name,
        draft.call_id,
        draft.from_uri,
        draft.to_uri,
        draft.realm,
        *audio_columns(audio),
        max_message_count,
        MAX_PENDING_PER_VMBOX,
        traceparent(),
        claim and claim.key,
        claim and claim.token,
        claim and msgspec.to_builtins(_drafted(vmbox_id, draft)),
    )
    return _done(row, MessageKey(account_id, vmbox_id, draft.id))


async def attach_audio(
    connection: Connection,
    place: MessageKey,
    audio: Audio,
    *,
    length_ms: int,
    retained_since: datetime,
    max_message_count: int | None,
) -> tuple[Message, str | None]:
    """Gives a message its audio; also returns the key of the audio that it replaced.

    `length_ms` counts only when nobody gave a length. Raises VmboxNotFound, MessageNotFound,
    MessageExpired, VmboxFull.
    """
    row = await connection.fetchrow(
        _SQL["attach_audio"],
        place.account_id,
        place.vmbox_id,
        place.message_id.month,
        place.message_id.id,
        *audio_columns(audio),
        length_ms,
        retained_since,
        max_message_count,
        traceparent(),
    )
    return _done(row, place, retained_since), None if row is None else row["replaced_key"]


async def change_folder(
    connection: Connection,
    place: MessageKey,
    folder: Folder,
    *,
    retained_since: datetime,
    reason: str,
) -> Message:
    """Puts a message into a folder. Raises VmboxNotFound, MessageNotFound, MessageExpired."""
    row = await connection.fetchrow(
        _SQL["change_folder"],
        place.account_id,
        place.vmbox_id,
        place.message_id.month,
        place.message_id.id,
        folder,
        retained_since,
        reason,
        traceparent(),
    )
    return _done(row, place, retained_since)


async def remove_message(connection: Connection, place: MessageKey, *, reason: str) -> Message:
    """Takes a message out of all lists and counts. Raises VmboxNotFound, MessageNotFound."""
    row = await connection.fetchrow(
        _SQL["remove_message"],
        place.account_id,
        place.vmbox_id,
        place.message_id.month,
        place.message_id.id,
        reason,
        traceparent(),
    )
    return _done(row, place)


async def get_message(connection: Connection, place: MessageKey) -> Message:
    """One message. Raises VmboxNotFound, MessageNotFound."""
    row = await connection.fetchrow(
        _SQL["get_message"],
        place.account_id,
        place.vmbox_id,
        place.message_id.month,
        place.message_id.id,
    )
    if row is None:
        raise VmboxNotFound(place.vmbox_id.hex)
    if row["id"] is None:
        raise MessageNotFound(str(place.message_id))
    return to_message(row)


async def get_received_at(connection: Connection, place: MessageKey) -> datetime:
    """When a message came, also one that was removed. Raises VmboxNotFound, MessageNotFound."""
    row = await connection.fetchrow(
        _SQL["get_received_at"],
        place.account_id,
        place.vmbox_id,
        place.message_id.month,
        place.message_id.id,
    )
    if row is None:
        raise VmboxNotFound(place.vmbox_id.hex)
    received_at: datetime | None = row["received_at"]
    if received_at is None:
        raise MessageNotFound(str(place.message_id))
    return received_at


def _done(
    row: asyncpg.Record | None, place: MessageKey, retained_since: datetime | None = None
) -> Message:
    if row is None:
        raise VmboxNotFound(place.vmbox_id.hex)
    match _Outcome(row["outcome"]):
        case _Outcome.DONE | _Outcome.UNCHANGED | _Outcome.REPLACED:
            return to_message(row)
        case refused:
            raise _refusal(refused, row, place, retained_since)


def _refusal(
    outcome: _Outcome, row: asyncpg.Record, place: MessageKey, retained_since: datetime | None
) -> VoicemailError:
    match outcome:
        case _Outcome.FULL:
            return VmboxFull(row["max_message_count"], row["message_count"])
        case _Outcome.CLAIM_LOST:
            return IdempotencyKeyInUse()
        case _Outcome.TOO_MANY_PENDING:
            return TooManyPending(MAX_PENDING_PER_VMBOX)
        case _Outcome.EXPIRED if retained_since is not None:
            return MessageExpired(str(place.message_id), retained_since)
        case _Outcome.VMBOX_GONE:
            return VmboxNotFound(place.vmbox_id.hex)
        case _:
            return MessageNotFound(str(place.message_id))


def _drafted(vmbox_id: UUID, draft: Draft) -> Message:
    """The message as it will be stored, but for an address that the box itself gives."""
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
    """The message that a row of `messages` holds."""
    return Message(
        id=MessageId(row["month"], row["id"]),
        vmbox_id=row["vmbox_id"],
        folder=Folder(row["folder"]),
        received_at=row["received_at"],
        length_ms=row["length_ms"],
        caller_id=CallerId(row["caller_id_number"], row["caller_id_name"]),
        call_id=row["call_id"],
        from_uri=row["from_uri"],
        to_uri=row["to_uri"],
        audio=to_audio(row),
        transcription=row["transcription"],
    )
