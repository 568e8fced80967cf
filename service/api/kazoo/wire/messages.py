"""JSON of messages and batch results."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType, to_builtins

from service.api.http.times import format_iso
from service.api.kazoo.envelope import FieldWarning
from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.times import (
    UNIX_TO_GREGORIAN,
    format_time,
    gregorian,
    parse_time,
    unix_problem,
)
from service.api.kazoo.wire.forwards import ForwardStepFields, forward_steps
from service.api.kazoo.wire.types import DateTimeString, HexId, MessageIdString
from service.domain.batch import BatchResult, Reason
from service.domain.errors import Invalid, Problem, Rule
from service.domain.hold import HeldMessage
from service.domain.media import MediaFacts
from service.domain.message import (
    ANONYMOUS,
    MAX_ADDRESS,
    MAX_CALLER_ID,
    CallerId,
    Folder,
    Message,
    MessageSummary,
    NewMessage,
    RemovedMessage,
)
from service.domain.schema import Document, Field, apply_schema
from service.domain.text import strip_control_characters
from service.domain.transcription import split_details

Response = TypeVar("Response", bound="MessageFields")
Row = TypeVar("Row", bound="MessageRow")

_MAX_LENGTH_MS = 2**31 - 1
_FOLDERS = ("deleted", "saved", "new")
_RETENTION_MESSAGE = "this message is prior to retention policy, no update operation is permitted"
REASONS = {
    Reason.NOT_FOUND: "not_found",
    Reason.EXPIRED: "prior_to_retention_duration",
    Reason.NO_AUDIO: "no_audio",
    Reason.CONFLICT: "conflict",
    Reason.HELD: "legal_hold",
    Reason.UNAVAILABLE: "datastore_unreachable",
    Reason.QUOTA_EXCEEDED: "quota_exceeded",
    Reason.FULL: "mailbox_full",
    Reason.NUMBER_TAKEN: "number_taken",
}

# KAZOO API docs, "Voicemail", create a message: the metadata that a client may send.
MESSAGE_FIELDS = {
    "timestamp": Field(types=("integer",)),
    "folder": Field(enum=_FOLDERS),
    "length": Field(types=("integer",), minimum=0, maximum=_MAX_LENGTH_MS),
    "caller_id_number": Field(max_length=MAX_CALLER_ID),
    "caller_id_name": Field(max_length=MAX_CALLER_ID),
    "call_id": Field(max_length=MAX_ADDRESS),
    "from": Field(max_length=MAX_ADDRESS),
    "to": Field(max_length=MAX_ADDRESS),
}


class MessageContext(msgspec.Struct, frozen=True):
    """Profile of the client and start of the retention; both change how a message is written.

    `vmboxes` has the start for boxes with a retention of their own.
    """

    profile: WireProfile
    retained_since: datetime
    vmboxes: Mapping[UUID, datetime] = {}

    @property
    def listed_since(self) -> datetime:
        """The start of the default window of a list."""
        return min([self.retained_since, *self.vmboxes.values()])

    def is_expired(self, message: MessageSummary) -> bool:
        """Returns True when the message is past the retention of its box."""
        if not self.vmboxes:
            return message.received_at < self.retained_since
        return message.received_at < self.vmboxes.get(message.vmbox_id, self.retained_since)


class MessageFields(msgspec.Struct, kw_only=True):
    """Fields of a message in every response."""

    timestamp: Annotated[
        int | DateTimeString,
        Meta(description="Gregorian seconds; ISO-8601 in the `audian` profile"),
    ]
    from_: str = msgspec.field(name="from")
    to: str
    caller_id_number: str
    caller_id_name: str
    call_id: str
    folder: Folder
    length: Annotated[int, Meta(description="Milliseconds; seconds in the `audian` profile")]
    media_id: MessageIdString
    retention: (
        Annotated[Literal["enforced"], Meta(description="The message is past its retention")]
        | UnsetType
    ) = UNSET
    retention_message: str | UnsetType = UNSET


class MessageRow(MessageFields, kw_only=True):
    """A message in a list."""

    transcribed: (
        Annotated[bool, Meta(description="Whether the last transcription succeeded")] | UnsetType
    ) = UNSET


class TrashRow(MessageRow, kw_only=True):
    """A removed message in the list of the trash."""

    removed_at: Annotated[
        int | DateTimeString,
        Meta(description="Gregorian seconds; ISO-8601 in the `audian` profile"),
    ]
    restorable_until: Annotated[
        int | DateTimeString,
        Meta(description="Gregorian seconds; ISO-8601 in the `audian` profile"),
    ]


class HeldRow(MessageRow, kw_only=True):
    """A message that a legal hold covers."""

    vmbox_id: HexId
    removed_at: (
        Annotated[
            int | DateTimeString,
            Meta(description="The time of its removal; absent while it is in its box"),
        ]
        | UnsetType
    ) = UNSET


class TranscriptionDetails(msgspec.Struct, kw_only=True):
    """The engine and the model of a transcription, and the language of the message."""

    language: Annotated[str, Meta(description="ISO 639-1")] | UnsetType = UNSET
    engine: str | UnsetType = UNSET
    model: str | UnsetType = UNSET


class MessageMetadata(MessageFields, kw_only=True):
    """A message with its transcription, its forwardings, the facts about its audio, and its
    addresses split into user and realm. A message has no `media` before its audio is measured."""

    from_user: str
    from_realm: str
    to_user: str
    to_realm: str
    transcription: dict[str, Any] | UnsetType = UNSET
    transcription_details: TranscriptionDetails | UnsetType = UNSET
    media: MediaFacts | UnsetType = UNSET
    forwarded: (
        Annotated[list[ForwardStepFields], Meta(description="Its forwardings, the first one first")]
        | UnsetType
    ) = UNSET


class StoredMessage(MessageMetadata, kw_only=True):
    """A stored message. `id` and `metadata` repeat the other fields. They are present when the
    message was stored without audio."""

    id: MessageIdString | UnsetType = UNSET
    metadata: MessageMetadata | UnsetType = UNSET


class LinkResponse(msgspec.Struct, kw_only=True):
    """A link that plays one recording."""

    url: Annotated[str, Meta(description="Plays the recording without other credentials")]
    expires: Annotated[
        int | DateTimeString,
        Meta(description="Gregorian seconds; ISO-8601 in the `audian` profile"),
    ]


class BatchResponse(msgspec.Struct, kw_only=True):
    """Outcome of a request about several messages."""

    succeeded: list[MessageIdString]
    failed: Annotated[
        list[Annotated[dict[str, str], Meta(min_length=1, max_length=1)]],
        Meta(description="One object per message: its id and the reason"),
    ]


def clock_warnings(
    new: NewMessage, message: Message, context: MessageContext
) -> list[FieldWarning]:
    """Returns a warning if the time of a new message was replaced, because it was in the future."""
    if new.received_at is None or new.received_at <= message.received_at:
        return []
    kept = format_time(message.received_at, context.profile)
    sent = format_time(new.received_at, context.profile)
    text = f"{sent} is in the future; the current time is stored"
    return [FieldWarning(field="timestamp", rule=Rule.DATE_RANGE, message=text, kept=kept)]


def to_new_message(data: Document, profile: WireProfile) -> NewMessage:
    """Reads the metadata of a new message. Raises Invalid with every field that breaks a rule."""
    fields = {name: data[name] for name in MESSAGE_FIELDS if data.get(name) is not None}
    timestamp = fields.get("timestamp")
    received_at = parse_time(timestamp)
    unix = unix_problem("timestamp", timestamp)
    if received_at is not None or unix is not None:
        del fields["timestamp"]
    values, problems = apply_schema(fields, MESSAGE_FIELDS)
    if unix is not None:
        problems.append(unix)
    elif "timestamp" in values and received_at is None and not problems:
        problems.append(Problem(field="timestamp", rule=Rule.DATE_RANGE))
    if problems:
        raise Invalid(problems)
    length = values.get("length")
    if length is not None and profile is WireProfile.AUDIAN:
        length = min(length * 1000, _MAX_LENGTH_MS)

    def cleaned(name: str) -> str | None:
        return strip_control_characters(values.get(name) or "") or None

    return NewMessage(
        received_at=received_at,
        folder=Folder(values.get("folder", Folder.NEW)),
        length_ms=length,
        caller_id=CallerId(
            cleaned("caller_id_number") or ANONYMOUS, cleaned("caller_id_name") or ANONYMOUS
        ),
        call_id=cleaned("call_id"),
        from_uri=cleaned("from"),
        to_uri=cleaned("to"),
    )


def to_folder(value: Any, default: Folder | None = None) -> Folder:
    """Reads a folder; None means the default. Raises Invalid for an unknown folder."""
    if value is None and default is not None:
        return default
    if value not in _FOLDERS:
        raise Invalid.of("folder", Rule.ENUM, target=list(_FOLDERS), value=value)
    return Folder(value)


def message_rows(messages: Iterable[MessageSummary], context: MessageContext) -> list[MessageRow]:
    """Messages as rows of a list, as `message_row`.

    The usual rows are created in one expression, because they are half of the time of a list.
    """
    if context.profile is not WireProfile.KAZOO or context.vmboxes:
        return [fill_row(MessageRow, message, context) for message in messages]
    since = context.retained_since
    return [
        MessageRow(
            timestamp=int(message.received_at.timestamp()) + UNIX_TO_GREGORIAN,
            from_=message.from_uri,
            to=message.to_uri,
            caller_id_number=message.caller_id.number,
            caller_id_name=message.caller_id.name,
            call_id=message.call_id,
            folder=message.folder,
            length=message.length_ms,
            media_id=str(message.id),
        )
        if message.transcription is None and message.received_at >= since
        else fill_row(MessageRow, message, context)
        for message in messages
    ]


def message_row(message: MessageSummary, context: MessageContext) -> MessageRow:
    """Returns a message as a row of a list. Past its retention it is in the folder `deleted`."""
    return fill_row(MessageRow, message, context)


def trash_row(removed: RemovedMessage, grace: timedelta, context: MessageContext) -> TrashRow:
    """Returns a removed message as a row of a list; it is purged after `grace`."""
    times = {
        "removed_at": format_time(removed.removed_at, context.profile),
        "restorable_until": format_time(removed.removed_at + grace, context.profile),
    }
    return fill_row(TrashRow, removed.message, context, **times)


def held_row(held: HeldMessage, context: MessageContext) -> HeldRow:
    """Returns a held message as a row of a list."""
    removed_at = UNSET if held.removed_at is None else format_time(held.removed_at, context.profile)
    vmbox_id = held.message.vmbox_id.hex
    return fill_row(HeldRow, held.message, context, vmbox_id=vmbox_id, removed_at=removed_at)


def fill_row(
    kind: type[Row], message: MessageSummary, context: MessageContext, **fields: Any
) -> Row:
    """Returns a message as a row of a list, with the additional `fields` of its kind."""
    row = _fill(kind, message, context, **fields)
    transcription = message.transcription
    if transcription is not None and "result" in transcription:
        row.transcribed = transcription["result"] == "success"
    return row


def message_metadata(message: MessageSummary, context: MessageContext) -> MessageMetadata:
    """Returns a message as the response of its own route."""
    return _fill(MessageMetadata, message, context, **_detail_fields(message, context))


def stored_message(message: Message, context: MessageContext, *, has_audio: bool) -> StoredMessage:
    """Returns a message as the response to its storage."""
    stored = _fill(StoredMessage, message, context, **_detail_fields(message, context))
    if not has_audio:
        stored.id, stored.metadata = stored.media_id, message_metadata(message, context)
    return stored


def message_filterable(message: MessageSummary, context: MessageContext) -> Document:
    """Returns the document that filters of a message list apply to: the row and the metadata."""
    row: Document = to_builtins(message_row(message, context))
    metadata: Document = to_builtins(message_metadata(message, context))
    return row | metadata


def batch_response(result: BatchResult) -> BatchResponse:
    """Returns the outcome of a request about several messages."""
    return BatchResponse(
        succeeded=[str(message_id) for message_id in result.succeeded],
        failed=[{text: REASONS[reason]} for text, reason in result.failed],
    )


def _fill(
    kind: type[Response], message: MessageSummary, context: MessageContext, **fields: Any
) -> Response:
    received_at, caller_id = message.received_at, message.caller_id
    is_audian = context.profile is WireProfile.AUDIAN
    response = kind(
        timestamp=format_iso(received_at) if is_audian else gregorian(received_at),
        from_=message.from_uri,
        to=message.to_uri,
        caller_id_number=caller_id.number,
        caller_id_name=caller_id.name,
        call_id=message.call_id,
        folder=message.folder,
        length=message.length_s if is_audian else message.length_ms,
        media_id=str(message.id),
        **fields,
    )
    if context.is_expired(message):
        response.folder = Folder.DELETED
        response.retention = "enforced"
        response.retention_message = _RETENTION_MESSAGE
    return response


def _detail_fields(message: MessageSummary, context: MessageContext) -> dict[str, Any]:
    """Returns the fields of a message that its row in a list does not have."""
    from_user, _, from_realm = message.from_uri.partition("@")
    to_user, _, to_realm = message.to_uri.partition("@")
    media = message.media if isinstance(message, Message) else None
    steps = message.forwarded if isinstance(message, Message) else ()
    return {
        "from_user": from_user,
        "from_realm": from_realm,
        "to_user": to_user,
        "to_realm": to_realm,
        **_transcription_fields(message.transcription),
        "media": UNSET if media is None else media,
        "forwarded": forward_steps(steps, context.profile) or UNSET,
    }


def _transcription_fields(transcription: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the transcription as the KAZOO object, with the details of its engine beside it."""
    if transcription is None:
        return {}
    kazoo_object, details = split_details(transcription)
    return {
        "transcription": kazoo_object,
        "transcription_details": TranscriptionDetails(**details) if details else UNSET,
    }
