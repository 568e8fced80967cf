"""Conversion between this dialect's JSON and the domain (Yay.com API, "Voicemails & Mailboxes").

Dates are `YYYY-MM-DD` in UTC, ids are UUIDs with dashes.
"""

from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.http.times import format_iso
from service.domain import vmbox as core
from service.domain.errors import Invalid
from service.domain.formats import ADDRESS, DIGITS, UUID_TEXT, is_uuid
from service.domain.media import MediaFacts
from service.domain.message import Folder, Message, MessageId, MessageSummary
from service.domain.recipient import Recipient
from service.domain.schema import Document, Field, apply_schema
from service.domain.transcription import transcript_of
from service.domain.vmbox import MAX_NAME, Vmbox

_NULLABLE = ("string", "null")
_FLAGS = {"beep": True, "play_caller_id": True, "play_timestamp": True, "transcribe": False}

FIELDS = {
    "name": Field(required=True, min_length=1, max_length=MAX_NAME),
    "password": Field(types=_NULLABLE, min_length=4, max_length=4, format=DIGITS),
    "greeting": Field(types=_NULLABLE, format=UUID_TEXT),
    **{name: Field(types=("boolean",), default=default) for name, default in _FLAGS.items()},
}
RECIPIENT_FIELDS = {"email": Field(required=True, format=ADDRESS)}

# This dialect neither reads nor writes the owner, so it does not validate a stored one.
KEPT_FIELDS = {name: field for name, field in core.FIELDS.items() if name != "owner_id"}

MESSAGE_ID = "^[0-9]{6}-?[0-9a-f]{8}(-?[0-9a-f]{4}){4}[0-9a-f]{8}$"


class MailboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a box that this dialect supports."""

    name: str
    password: str | None = None
    beep: bool
    greeting: str | None = None
    play_caller_id: bool
    play_timestamp: bool
    transcribe: bool

    def apply_to(self, document: Document) -> Document:
        """Returns a box document with these settings; its other keys are kept."""
        kept = {key: value for key, value in document.items() if key != "pin"}
        pin = {} if self.password is None else {"pin": self.password}
        flags = {name: getattr(self, name) for name in _FLAGS}
        return {**kept, **pin, **flags, "name": self.name, "media": self._media(document)}

    def _media(self, document: Document) -> Document:
        media = {key: value for key, value in _media_of(document).items() if key != "unavailable"}
        return media if self.greeting is None else {**media, "unavailable": self.greeting}


class RecipientDates(msgspec.Struct, frozen=True):
    """Recipient without its address."""

    uuid: UUID
    created_on: date
    updated_on: date


class MailboxRecipient(RecipientDates, frozen=True):
    """Recipient of e-mail notifications."""

    email: str


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """Mailbox. `updated_on` is absent in the response to its creation."""

    uuid: UUID
    name: str
    password: str | None
    beep: bool
    greeting: str | None
    play_caller_id: bool
    play_timestamp: bool
    transcribe: bool
    email_recipients: list[RecipientDates]
    created_on: date
    updated_on: date | UnsetType = UNSET


class MailboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Message of a mailbox. In lists, and before the audio is measured, `media` is absent."""

    uuid: Annotated[str, Meta(pattern=MESSAGE_ID)]
    created_on: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    caller_id_number: str
    caller_id_name: str
    duration: Annotated[int, Meta(ge=0)]
    folder: Folder
    transcription: str | None
    media: MediaFacts | UnsetType = UNSET


def parse_uuid(text: str) -> UUID | None:
    """Parses a UUID with or without dashes; None for any other text."""
    return UUID(text) if is_uuid(text) else None


def parse_message_id(text: str) -> MessageId | None:
    """Parses a message id with or without dashes; None for any other text."""
    month, rest = text[:6], text[6:].removeprefix("-")
    uuid = parse_uuid(rest)
    return None if uuid is None else MessageId.parse(f"{month}-{uuid.hex}")


def parse_settings(body: Document) -> MailboxSettings:
    """Parses a mailbox and adds defaults; unknown keys are ignored.

    Raises Invalid with every field that breaks a rule.
    """
    settings, problems = apply_schema({key: body[key] for key in FIELDS if key in body}, FIELDS)
    if problems:
        raise Invalid(problems)
    if settings.get("greeting") is not None:
        settings["greeting"] = UUID(settings["greeting"]).hex
    return MailboxSettings(**settings)


def parse_address(body: Document) -> str:
    """Parses a new recipient and returns its address. Raises Invalid."""
    recipient, problems = apply_schema(body, RECIPIENT_FIELDS)
    if problems:
        raise Invalid(problems)
    address: str = recipient["email"]
    return address


def to_mailbox(vmbox: Vmbox, *, is_new: bool = False) -> Mailbox:
    document = vmbox.document
    return Mailbox(
        uuid=vmbox.vmbox_id,
        name=document["name"],
        password=vmbox.pin,
        greeting=_greeting_of(document),
        email_recipients=[
            RecipientDates(*_recipient_dates(recipient)) for recipient in vmbox.recipients
        ],
        created_on=_date_of(vmbox.created_at),
        updated_on=UNSET if is_new else _date_of(vmbox.modified_at),
        **{name: _flag_of(document.get(name), default) for name, default in _FLAGS.items()},
    )


def to_recipient(recipient: Recipient) -> MailboxRecipient:
    return MailboxRecipient(*_recipient_dates(recipient), email=recipient.address)


def to_message(message: MessageSummary, retained_since: datetime) -> MailboxMessage:
    """Converts a message. One past retention is `deleted`; a failed transcription is null."""
    media = message.media if isinstance(message, Message) else None
    return MailboxMessage(
        uuid=str(message.id),
        created_on=format_iso(message.received_at),
        caller_id_number=message.caller_id.number,
        caller_id_name=message.caller_id.name,
        duration=message.length_s,
        folder=Folder.DELETED if message.received_at < retained_since else message.folder,
        transcription=transcript_of(message.transcription),
        media=UNSET if media is None else media,
    )


def _recipient_dates(recipient: Recipient) -> tuple[UUID, date, date]:
    return (
        recipient.recipient_id,
        _date_of(recipient.created_at),
        _date_of(recipient.updated_at),
    )


def _date_of(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _flag_of(value: Any, default: bool) -> bool:
    """Returns the default for other types, which the other dialect may have stored."""
    return value if isinstance(value, bool) else default


def _greeting_of(document: Document) -> str | None:
    """Returns the greeting's id; a text that is not a UUID is returned unchanged."""
    text = _media_of(document).get("unavailable")
    if text is None:
        return None
    uuid = parse_uuid(text)
    return text if uuid is None else str(uuid)


def _media_of(document: Document) -> Document:
    media: Document = document.get("media", {})
    return media
