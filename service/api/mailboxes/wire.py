"""Vendor JSON <-> domain: mailboxes, recipients and messages as this dialect writes them.

Yay.com API, "Voicemails & Mailboxes". Days are `YYYY-MM-DD` in UTC, ids are dashed UUIDs.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from service.api.http.times import format_iso
from service.domain import vmbox as core
from service.domain.errors import Invalid
from service.domain.formats import ADDRESS, DIGITS, UUID_TEXT, is_uuid
from service.domain.message import Folder, Message, MessageId
from service.domain.recipient import Recipient
from service.domain.schema import Document, Field, apply_schema
from service.domain.transcription import transcript_of
from service.domain.vmbox import MAX_NAME, Vmbox


def _flag(default: bool) -> Field:
    return Field(types=("boolean",), default=default)


FIELDS = {
    "name": Field(required=True, min_length=1, max_length=MAX_NAME),
    "password": Field(min_length=4, max_length=4, format=DIGITS),
    "beep": _flag(True),
    "greeting": Field(format=UUID_TEXT),
    "play_caller_id": _flag(True),
    "play_timestamp": _flag(True),
    "transcribe": _flag(False),
}
_FLAGS = ("beep", "play_caller_id", "play_timestamp", "transcribe")
_NULLABLE = ("password", "greeting")
RECIPIENT_FIELDS = {"email": Field(required=True, format=ADDRESS)}

# The core's rules without those for what this dialect neither shows nor takes: whoever wrote it
# wrote it by the rules of another dialect, and here it is kept as it is.
KEPT_FIELDS = {name: field for name, field in core.FIELDS.items() if name != "owner_id"}


class MailboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that this dialect knows of a box."""

    name: str
    password: str | None = None
    beep: bool
    greeting: str | None = None
    play_caller_id: bool
    play_timestamp: bool
    transcribe: bool

    def over(self, document: Document) -> Document:
        """The settings of a box with these in the place of what it has; the rest is kept."""
        rest = {key: value for key, value in document.items() if key != "pin"}
        pin = {} if self.password is None else {"pin": self.password}
        flags = {name: getattr(self, name) for name in _FLAGS}
        return {**rest, **pin, **flags, "name": self.name, "media": self._media(document)}

    def _media(self, document: Document) -> Document:
        media = {key: value for key, value in _media_of(document).items() if key != "unavailable"}
        return media if self.greeting is None else {**media, "unavailable": self.greeting}


def parse_uuid(text: str) -> UUID | None:
    """The UUID that a text writes, with or without dashes; None when it writes none."""
    return UUID(text) if is_uuid(text) else None


def to_settings(body: Document) -> MailboxSettings:
    """What a client says of a mailbox, with defaults; unknown keys are ignored.

    Raises Invalid with every field that breaks a rule.
    """
    given = {
        name: value
        for name, value in body.items()
        if name in FIELDS and not (value is None and name in _NULLABLE)
    }
    settings, problems = apply_schema(given, FIELDS)
    if problems:
        raise Invalid(problems)
    if "greeting" in settings:
        settings["greeting"] = UUID(settings["greeting"]).hex
    return MailboxSettings(**settings)


def to_address(body: Document) -> str:
    """The address of a new recipient. Raises Invalid."""
    given, problems = apply_schema(body, RECIPIENT_FIELDS)
    if problems:
        raise Invalid(problems)
    address: str = given["email"]
    return address


def to_message_id(text: str) -> MessageId | None:
    """The message id that a text writes, with or without dashes; None when it writes none."""
    month, rest = text[:6], text[6:].removeprefix("-")
    identity = parse_uuid(rest)
    return None if identity is None else MessageId.parse(f"{month}-{identity.hex}")


def mailbox_new(vmbox: Vmbox) -> Document:
    """A mailbox that was just made: nothing of it was updated yet."""
    document = vmbox.document
    flags = {name: _shown(document.get(name), FIELDS[name].default) for name in _FLAGS}
    return {
        "uuid": str(vmbox.vmbox_id),
        "name": document["name"],
        "password": vmbox.pin,
        **flags,
        "greeting": _greeting(document),
        "email_recipients": [_dates(recipient) for recipient in vmbox.recipients],
        "created_on": _day(vmbox.created_at),
    }


def mailbox(vmbox: Vmbox) -> Document:
    """A mailbox."""
    return {**mailbox_new(vmbox), "updated_on": _day(vmbox.modified_at)}


def recipient(recipient: Recipient) -> Document:
    """A recipient with its address."""
    return {**_dates(recipient), "email": recipient.address}


def message(message: Message, retained_since: datetime) -> Document:
    """A message. What is past retention shows as deleted, and a failed transcription as none."""
    expired = message.received_at < retained_since
    return {
        "uuid": str(message.id),
        "created_on": format_iso(message.received_at),
        "caller_id_number": message.caller_id.number,
        "caller_id_name": message.caller_id.name,
        "duration": message.length_s,
        "folder": Folder.DELETED if expired else message.folder,
        "transcription": transcript_of(message.transcription),
    }


def _dates(recipient: Recipient) -> Document:
    return {
        "uuid": str(recipient.recipient_id),
        "created_on": _day(recipient.created_at),
        "updated_on": _day(recipient.updated_at),
    }


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def _shown(value: Any, default: bool) -> bool:
    """In another dialect these are keys that nobody checks."""
    return value if isinstance(value, bool) else default


def _greeting(document: Document) -> str | None:
    """The greeting's id; one that is no UUID is shown as it was written."""
    text = _media_of(document).get("unavailable")
    if text is None:
        return None
    identity = parse_uuid(text)
    return text if identity is None else str(identity)


def _media_of(document: Document) -> Document:
    media: Document = document.get("media", {})
    return media
