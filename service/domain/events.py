"""Events: types, subjects, CloudEvents attributes, and the data of each type."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from service.domain.media import MediaFacts
from service.domain.message import Folder

SUBJECT_PREFIX = "voicemail.v1"
TYPE_PREFIX = "voicemail."
"""Prefix of the event type in the attribute `type` of a CloudEvent."""
MAX_EVENT_BYTES = 262_144
NO_VMBOX = UUID(int=0)
"""Mailbox id of an event that concerns a whole account."""


class EventType(StrEnum):
    """Event types: the last two tokens of a subject."""

    MESSAGE_NEW = "message.new"
    MESSAGE_FOLDER_CHANGED = "message.folder_changed"
    MESSAGE_REMOVED = "message.removed"
    MESSAGE_RESTORED = "message.restored"
    MESSAGE_AUDIO_REPLACED = "message.audio_replaced"
    MESSAGE_TRANSCRIPTION_REQUESTED = "message.transcription_requested"
    MESSAGE_TRANSCRIBED = "message.transcribed"
    MESSAGE_MEASURED = "message.measured"
    VMBOX_CREATED = "vmbox.created"
    VMBOX_UPDATED = "vmbox.updated"
    VMBOX_DELETED = "vmbox.deleted"
    VMBOX_RESTORED = "vmbox.restored"
    VMBOX_FULL = "vmbox.full"
    VMBOX_PIN_LOCKED = "vmbox.pin_locked"
    CALLBACK_REQUESTED = "callback.requested"
    ACCOUNT_DELETED = "account.deleted"
    ACCOUNT_MOVED = "account.moved"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded event. `data` is JSON of the Struct that DATA has for `type`.

    (`epoch`, `sequence`) orders the events of a mailbox, and `sequence` has no gaps. `type` is a
    string, so that an older release can publish an event of a newer one.
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
    """Returns `<prefix>.<account>.<vmbox>.<type>`; `_` is the mailbox of an account event."""
    vmbox = "_" if event.vmbox_id == NO_VMBOX else event.vmbox_id.hex
    return f"{prefix}.{event.account_id.hex}.{vmbox}.{event.type}"


def attributes_of(event: Event) -> dict[str, str]:
    """Returns the context attributes of CloudEvents 1.0, with its sequence extension."""
    source = f"/accounts/{event.account_id.hex}"
    if event.vmbox_id != NO_VMBOX:
        source += f"/vmboxes/{event.vmbox_id.hex}"
    attributes = {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": source,
        "type": f"{TYPE_PREFIX}{event.type}",
        "time": event.created_at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": f"{event.sequence:020d}",
    }
    if event.media_id is not None:
        attributes["subject"] = event.media_id
    return attributes


def encode_cloudevent(event: Event) -> bytes:
    """Returns the event as one JSON object: CloudEvents 1.0, JSON format."""
    return msgspec.json.encode({**attributes_of(event), "data": msgspec.Raw(event.data)})


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of messages in a mailbox after the event."""

    new: int
    saved: int


class EventMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Message: `timestamp` in Gregorian seconds (Unix + 62 167 219 200), `length` in ms."""

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
    """Way in which a message entered the mailbox."""

    STORED = "stored"
    MOVED = "moved"
    COPIED = "copied"
    IMPORTED = "imported"
    FORWARDED = "forwarded"


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Origin of a message; `vmbox_id` and `media_id` identify a moved, copied or forwarded one."""

    reason: OriginReason
    vmbox_id: str | None = None
    media_id: str | None = None


class FolderChangeReason(StrEnum):
    """Cause of a folder change: a caller, or the service after a notification."""

    API = "api"
    NOTIFIED = "notified"


class RemovalReason(StrEnum):
    """Cause of a removal."""

    API = "api"
    MOVED = "moved"
    RETENTION = "retention"
    ERASED = "erased"


class AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of all events."""

    account_id: str
    epoch: int
    sequence: int


class VmboxEvent(AccountEvent, frozen=True, kw_only=True):
    """Fields of all events of a mailbox."""

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
    """A message was removed; `message` is its last state."""

    message: EventMessage
    reason: RemovalReason


class MessageRestored(VmboxEvent, frozen=True, kw_only=True):
    """A removed message was restored to its folder."""

    message: EventMessage


class MessageAudioReplaced(VmboxEvent, frozen=True, kw_only=True):
    """A complete message got new audio."""

    message: EventMessage


class MessageTranscriptionRequested(VmboxEvent, frozen=True, kw_only=True):
    """A transcription of a message was requested, also if it has one."""

    message: EventMessage


class Transcription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of a transcription; `text` is set only when `result` is `success`.

    `language` is ISO 639-1.
    """

    result: str
    text: str | None = None
    language: str | None = None
    engine: str | None = None
    model: str | None = None


class TranscribedMessage(EventMessage, frozen=True, kw_only=True):
    """Message with its transcription."""

    transcription: Transcription


class MessageTranscribed(VmboxEvent, frozen=True, kw_only=True):
    """A message was transcribed, or its audio could not be transcribed."""

    message: TranscribedMessage


class MeasuredMessage(EventMessage, frozen=True, kw_only=True):
    """Message with the facts about its audio."""

    media: MediaFacts


class MessageMeasured(VmboxEvent, frozen=True, kw_only=True):
    """The audio of a message was measured; `length` of the message may have been corrected."""

    message: MeasuredMessage


class VmboxCreated(VmboxEvent, frozen=True, kw_only=True):
    """A mailbox was created; `vmbox` is its public document, without the PIN."""

    vmbox: dict[str, Any]


class VmboxUpdated(VmboxEvent, frozen=True, kw_only=True):
    """The settings of a mailbox changed; `vmbox` is its public document, without the PIN."""

    vmbox: dict[str, Any]


class VmboxDeleted(VmboxEvent, frozen=True, kw_only=True):
    """A mailbox was deleted with its new and saved messages, without an event for each."""

    vmbox: dict[str, Any]
    messages_removed: int


class VmboxRestored(VmboxEvent, frozen=True, kw_only=True):
    """A deleted mailbox was restored with its messages, without an event for each."""

    vmbox: dict[str, Any]


class VmboxWasFull(VmboxEvent, frozen=True, kw_only=True):
    """A message was refused because the mailbox is full; at most one event in 10 minutes."""

    max_message_count: int
    message_count: int


class VmboxPinLocked(VmboxEvent, frozen=True, kw_only=True):
    """Too many wrong PINs were checked; the mailbox accepts no PIN for `locked_for_s`."""

    wrong_pins: int
    locked_for_s: int


class CallbackRequested(VmboxEvent, frozen=True, kw_only=True):
    """A call about new messages of a mailbox is due; another service makes the call.

    `attempt` counts from 1. The call ends after `timeout_s`. `message` is the cause of the call.
    """

    number: str
    attempt: int
    timeout_s: int
    message: EventMessage


class AccountDeleted(AccountEvent, frozen=True, kw_only=True):
    """An account was deleted with its mailboxes and messages, without an event for each."""


class AccountMovedAway(AccountEvent, frozen=True, kw_only=True):
    """An account was moved to the deployment at `url`. This is its last event in this deployment.

    Its events continue in the other one, with a higher epoch.
    """

    url: str


DATA: dict[EventType, type[AccountEvent]] = {
    EventType.MESSAGE_NEW: MessageNew,
    EventType.MESSAGE_FOLDER_CHANGED: MessageFolderChanged,
    EventType.MESSAGE_REMOVED: MessageRemoved,
    EventType.MESSAGE_RESTORED: MessageRestored,
    EventType.MESSAGE_AUDIO_REPLACED: MessageAudioReplaced,
    EventType.MESSAGE_TRANSCRIPTION_REQUESTED: MessageTranscriptionRequested,
    EventType.MESSAGE_TRANSCRIBED: MessageTranscribed,
    EventType.MESSAGE_MEASURED: MessageMeasured,
    EventType.VMBOX_CREATED: VmboxCreated,
    EventType.VMBOX_UPDATED: VmboxUpdated,
    EventType.VMBOX_DELETED: VmboxDeleted,
    EventType.VMBOX_RESTORED: VmboxRestored,
    EventType.VMBOX_FULL: VmboxWasFull,
    EventType.VMBOX_PIN_LOCKED: VmboxPinLocked,
    EventType.CALLBACK_REQUESTED: CallbackRequested,
    EventType.ACCOUNT_DELETED: AccountDeleted,
    EventType.ACCOUNT_MOVED: AccountMovedAway,
}


def decode_data(kind: EventType, data: bytes) -> AccountEvent:
    """Returns the data of an event. Raises msgspec.DecodeError, msgspec.ValidationError."""
    return msgspec.json.decode(data, type=DATA[kind])


ACCOUNT_EVENTS = frozenset({EventType.ACCOUNT_DELETED, EventType.ACCOUNT_MOVED})
"""Events without a mailbox, after which the account has no others."""
