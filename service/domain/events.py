"""What happened: the events, their subjects, and what each carries."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from service.domain.message import Folder

SUBJECT_PREFIX = "voicemail.v1"
MAX_EVENT_BYTES = 262_144
NO_VMBOX = UUID(int=0)
"""The box of an event that concerns an account as a whole."""


class EventType(StrEnum):
    """The last two tokens of a subject."""

    MESSAGE_NEW = "message.new"
    MESSAGE_FOLDER_CHANGED = "message.folder_changed"
    MESSAGE_REMOVED = "message.removed"
    MESSAGE_AUDIO_REPLACED = "message.audio_replaced"
    MESSAGE_TRANSCRIBED = "message.transcribed"
    VMBOX_CREATED = "vmbox.created"
    VMBOX_UPDATED = "vmbox.updated"
    VMBOX_DELETED = "vmbox.deleted"
    VMBOX_FULL = "vmbox.full"
    CALLBACK_REQUESTED = "callback.requested"
    ACCOUNT_DELETED = "account.deleted"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was recorded. `data` is JSON: the Struct that DATA names for `type`.

    Per box, (`epoch`, `sequence`) orders events and `sequence` has no gap. `type` stays a string,
    so that an event of a newer release passes through an older one.
    """

    account_id: UUID
    vmbox_id: UUID
    sequence: int
    event_id: UUID
    type: str
    created_at: datetime
    data: bytes
    media_id: str | None = None
    traceparent: str | None = None


def subject_of(event: Event, prefix: str = SUBJECT_PREFIX) -> str:
    """`<prefix>.<account>.<vmbox>.<type>`; `_` stands for the box of an account's own event."""
    vmbox = "_" if event.vmbox_id == NO_VMBOX else event.vmbox_id.hex
    return f"{prefix}.{event.account_id.hex}.{vmbox}.{event.type}"


def attributes_of(event: Event) -> dict[str, str]:
    """The context attributes of CloudEvents 1.0, with its sequence extension."""
    source = f"/accounts/{event.account_id.hex}"
    if event.vmbox_id != NO_VMBOX:
        source += f"/vmboxes/{event.vmbox_id.hex}"
    attributes = {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": source,
        "type": f"voicemail.{event.type}",
        "time": event.created_at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": f"{event.sequence:020d}",
    }
    if event.media_id is not None:
        attributes["subject"] = event.media_id
    return attributes


def structured(event: Event) -> bytes:
    """The event as one JSON object: CloudEvents 1.0, JSON format."""
    return msgspec.json.encode({**attributes_of(event), "data": msgspec.Raw(event.data)})


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of a box, as they are after the event."""

    new: int
    saved: int


class EventMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as events tell it: Gregorian seconds (Unix + 62 167 219 200), milliseconds."""

    media_id: str
    timestamp: int
    folder: Folder
    length: int
    caller_id_number: str
    caller_id_name: str
    call_id: str
    from_: str = msgspec.field(name="from")
    to: str


class OriginReason(StrEnum):
    """How a message came into the box."""

    STORED = "stored"
    MOVED = "moved"
    COPIED = "copied"


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a message came from; `vmbox_id` and `media_id` tell of one moved or copied."""

    reason: OriginReason
    vmbox_id: str | None = None
    media_id: str | None = None


class FolderChangeReason(StrEnum):
    """Who changed a folder: a caller, or the service once it had notified."""

    API = "api"
    NOTIFIED = "notified"


class RemovalReason(StrEnum):
    """Why a message is gone."""

    API = "api"
    MOVED = "moved"
    RETENTION = "retention"


class AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What all events carry."""

    account_id: str
    epoch: int
    sequence: int


class VmboxEvent(AccountEvent, frozen=True, kw_only=True):
    """What all events of a box carry."""

    vmbox_id: str
    mailbox: str
    counts: Counts


class MessageNew(VmboxEvent, frozen=True, kw_only=True):
    """A message became complete: it has audio."""

    message: EventMessage
    origin: Origin


class MessageFolderChanged(VmboxEvent, frozen=True, kw_only=True):
    """A message changed its folder."""

    message: EventMessage
    from_: Folder = msgspec.field(name="from")
    to: Folder
    reason: FolderChangeReason


class MessageRemoved(VmboxEvent, frozen=True, kw_only=True):
    """A message was removed; `message` tells what it was."""

    message: EventMessage
    reason: RemovalReason


class MessageAudioReplaced(VmboxEvent, frozen=True, kw_only=True):
    """A complete message got new audio."""

    message: EventMessage


class Transcription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`text` where `result` is `success`; any other result tells that there is none."""

    result: str
    text: str | None = None


class TranscribedMessage(EventMessage, frozen=True, kw_only=True):
    """A message with what was heard in it."""

    transcription: Transcription


class MessageTranscribed(VmboxEvent, frozen=True, kw_only=True):
    """A transcription of a message was stored, or that its audio allows none."""

    message: TranscribedMessage


class VmboxCreated(VmboxEvent, frozen=True, kw_only=True):
    """A box was made; `vmbox` is its public document, without the PIN."""

    vmbox: dict[str, Any]


class VmboxUpdated(VmboxEvent, frozen=True, kw_only=True):
    """The settings of a box changed; `vmbox` is its public document, without the PIN."""

    vmbox: dict[str, Any]


class VmboxDeleted(VmboxEvent, frozen=True, kw_only=True):
    """A box was deleted, and its new and saved messages with it, without an event for each."""

    vmbox: dict[str, Any]
    messages_removed: int


class VmboxWasFull(VmboxEvent, frozen=True, kw_only=True):
    """A message was refused because the box is full; told at most once in 10 minutes."""

    max_message_count: int
    message_count: int


class CallbackRequested(VmboxEvent, frozen=True, kw_only=True):
    """Somebody should be called about the new messages of a box, for the service that makes calls.

    `attempt` counts from 1; to be given up after `timeout_s`; `message` is what began it.
    """

    number: str
    attempt: int
    timeout_s: int
    message: EventMessage


class AccountDeleted(AccountEvent, frozen=True, kw_only=True):
    """An account was deleted with all that it had, without an event for each box or message."""


DATA: dict[EventType, type[AccountEvent]] = {
    EventType.MESSAGE_NEW: MessageNew,
    EventType.MESSAGE_FOLDER_CHANGED: MessageFolderChanged,
    EventType.MESSAGE_REMOVED: MessageRemoved,
    EventType.MESSAGE_AUDIO_REPLACED: MessageAudioReplaced,
    EventType.MESSAGE_TRANSCRIBED: MessageTranscribed,
    EventType.VMBOX_CREATED: VmboxCreated,
    EventType.VMBOX_UPDATED: VmboxUpdated,
    EventType.VMBOX_DELETED: VmboxDeleted,
    EventType.VMBOX_FULL: VmboxWasFull,
    EventType.CALLBACK_REQUESTED: CallbackRequested,
    EventType.ACCOUNT_DELETED: AccountDeleted,
}


def decode_data(kind: EventType, data: bytes) -> AccountEvent:
    """The payload of an event; msgspec.DecodeError or ValidationError when it is none."""
    return msgspec.json.decode(data, type=DATA[kind])
