"""Mailboxes (vmboxes): settings with defaults, numbers, greetings, message counts."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from service.domain.formats import ADDRESS, LANGUAGE, TIME, ZONE
from service.domain.greeting_rules import (
    TEMPORARY_END,
    TEMPORARY_START,
    GreetingRole,
    has_greeting,
)
from service.domain.recipient import MAX_RECIPIENTS, Recipient
from service.domain.rendition import RenditionFormat
from service.domain.retention import DAYS_FIELD, DELETED_DAYS, MESSAGE_DAYS
from service.domain.schema import Document, Field, Fields, submitted_keys, validate_document

MAX_NAME = 128
MEDIA_ID_LENGTH = 32
MAX_WRONG_PINS = 5
PIN_LOCK = timedelta(minutes=15)
"""Period in which wrong PINs are counted, and duration of the lock after too many of them."""
_NUMBER_KEYS = ("mailbox", "aliases")
_SERVER_KEYS = frozenset({"id", "messages", "folders", "metadata"})


def _flag(default: bool) -> Field:
    return Field(types=("boolean",), default=default)


def _list_of(items: Field, default: list[Any] | None = None, max_items: int = 100) -> Field:
    return Field(types=("array",), items=items, max_items=max_items, default=default)


_INTEGER = Field(types=("integer",))
_COUNT = Field(types=("integer",), minimum=1)
_MEDIA_ID = Field(min_length=MEDIA_ID_LENGTH, max_length=MEDIA_ID_LENGTH)
_TIME = Field(max_length=40, format=TIME)
_MEDIA: dict[str, Field] = {
    GreetingRole.UNAVAILABLE.value: _MEDIA_ID,
    GreetingRole.TEMPORARY.value: _MEDIA_ID,
    TEMPORARY_START: _TIME,
    TEMPORARY_END: _TIME,
    # Other text is kept: earlier releases did not read these fields.
    GreetingRole.BUSY.value: Field(),
    GreetingRole.NAME.value: Field(),
}

# Settings of a mailbox, with the names that telephony clients use. Unknown keys are kept.
FIELDS: dict[str, Field] = {
    "name": Field(required=True, min_length=1, max_length=MAX_NAME),
    "mailbox": Field(required=True, min_length=1, max_length=30),
    "after_forward_action": Field(enum=("prompt", "save"), default="save"),
    "aliases": _list_of(Field(min_length=1, max_length=36), default=[]),
    "announcement_only": _flag(False),
    "check_if_owner": _flag(True),
    "delete_after_notify": _flag(False),
    DELETED_DAYS: DAYS_FIELD,
    "envelope_type": Field(enum=("default", "caller_and_time"), default="default"),
    "flags": _list_of(Field(max_length=256)),
    "include_message_on_notify": _flag(True),
    "include_transcription_on_notify": _flag(True),
    "is_setup": _flag(False),
    "is_voicemail_ff_rw_enabled": _flag(False),
    "max_message_count": Field(types=("integer",), minimum=0, maximum=1_000_000),
    MESSAGE_DAYS: DAYS_FIELD,
    "media": Field(
        types=("object",),
        fields=_MEDIA,
        default={},
    ),
    "media_extension": Field(enum=("mp3", "mp4", "wav"), default="mp3"),
    "not_configurable": _flag(False),
    "notify": Field(
        types=("object",),
        fields={
            "callback": Field(
                types=("object",),
                fields={
                    "attempts": _INTEGER,
                    "disabled": Field(types=("boolean",)),
                    "interval_s": _INTEGER,
                    "number": Field(),
                    "schedule": _list_of(_INTEGER),
                    "timeout_s": _INTEGER,
                },
            )
        },
    ),
    "notify_audio_format": Field(enum=tuple(RenditionFormat)),
    "notify_email_addresses": _list_of(Field(format=ADDRESS), default=[], max_items=MAX_RECIPIENTS),
    "oldest_message_first": _flag(False),
    "operator_number": Field(types=("integer", "string")),
    "owner_id": Field(min_length=32, max_length=32),
    "pin": Field(min_length=4, max_length=6),
    "require_pin": _flag(False),
    "save_after_notify": _flag(False),
    "seek_duration_ms": Field(types=("integer",), minimum=0, default=10_000),
    "silence_hits": _COUNT,
    "silence_threshold": _COUNT,
    "skip_envelope": _flag(False),
    "skip_greeting": _flag(False),
    "skip_instructions": _flag(False),
    "timezone": Field(min_length=3, max_length=32, format=ZONE),
    "transcribe": _flag(False),
    "transcription_language": Field(min_length=2, max_length=3, format=LANGUAGE),
    "vm_message_forward_type": Field(
        enum=("only_forward", "prepend_forward"), default="only_forward"
    ),
}


class MessageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of complete messages by folder, without `deleted`."""

    new: int = 0
    saved: int = 0

    @property
    def total(self) -> int:
        return self.new + self.saved


class Vmbox(msgspec.Struct, frozen=True, kw_only=True):
    """Stored mailbox. `document` is the public document without `id` and `pin`."""

    account_id: UUID
    vmbox_id: UUID
    document: Document
    pin: str | None
    revision: int
    created_at: datetime
    modified_at: datetime
    counts: MessageCounts
    recipients: tuple[Recipient, ...] = ()

    @property
    def settings(self) -> Document:
        """Public document with the PIN, as a client reads and writes it."""
        return self.document if self.pin is None else {**self.document, "pin": self.pin}


class DeletedVmbox(msgspec.Struct, frozen=True, kw_only=True):
    """Mailbox in the trash."""

    vmbox_id: UUID
    name: str
    mailbox: str
    deleted_at: datetime


class VmboxTrashCursor(msgspec.Struct, frozen=True, array_like=True):
    """Sort key of the first mailbox of a page of the trash."""

    deleted_at: Annotated[datetime, Meta(tz=True)]
    vmbox_id: UUID


def validate_settings(
    document: Document, fields: Fields = FIELDS, before: Document | None = None
) -> Document:
    """Returns the document with defaults, and numbers without spaces around them.

    The first greeting sets `is_setup`, and it is the default of a mailbox with a greeting.
    `before` is the stored document that changes. Raises Invalid with all problems,
    DocumentTooLarge.
    """
    stripped = {key: _strip(document[key]) for key in _NUMBER_KEYS if key in document}
    checked = validate_document({**document, **stripped}, fields, _SERVER_KEYS, before)
    is_default = "is_setup" not in submitted_keys(document)
    if has_greeting(checked) and (is_default or not has_greeting(before or {})):
        checked["is_setup"] = True
    return checked


def _strip(value: Any) -> Any:
    """Removes the spaces around a number, or around each number of a list."""
    if isinstance(value, list):
        return [_strip(item) for item in value]
    return value.strip() if isinstance(value, str) else value


def numbers_of(document: Document) -> set[str]:
    """Returns the numbers of a mailbox in comparable form. Skips values that are not valid."""
    return set(texts_of_numbers(document))


def texts_of_numbers(document: Document) -> dict[str, str]:
    """Returns the text of each number of a mailbox, by the result of `numbers_of`."""
    aliases = document.get("aliases")
    values = [document.get("mailbox"), *(aliases if isinstance(aliases, list) else [])]
    return {comparable_number(text): text for text in values if isinstance(text, str) and text}


def comparable_number(number: str) -> str:
    """Returns digits without leading zeros (`0100` equals `100`), other text without spaces."""
    number = number.strip()
    if number.isascii() and number.isdigit():
        return number.lstrip("0") or "0"
    return number


def greetings_of(settings: Document) -> dict[str, str]:
    """Returns the ids of greetings by dotted field; skips values that are not ids."""
    media = settings.get("media")
    values = {role: media.get(role) for role in GreetingRole} if isinstance(media, dict) else {}
    return {
        f"media.{role}": text
        for role, text in values.items()
        if isinstance(text, str) and len(text) == MEDIA_ID_LENGTH
    }


def without_greetings(settings: Document, kept: Collection[str]) -> Document:
    """Returns the settings without the greetings whose ids are not in `kept`."""
    removed = {
        name.removeprefix("media.")
        for name, text in greetings_of(settings).items()
        if text not in kept
    }
    if not removed:
        return settings
    media = {name: value for name, value in settings["media"].items() if name not in removed}
    return {**settings, "media": media}


def addresses_of(settings: Document) -> list[str]:
    """Returns the e-mail addresses that are notified of new messages."""
    addresses: list[str] = settings.get("notify_email_addresses", [])
    return addresses


def fields_for_change(before: Document, fields: Fields) -> Fields:
    """Returns the rules for a change of a box. Its list of addresses may already be too long.

    Boxes of earlier releases may have such a list. It can be kept or shortened.
    """
    count, name = len(addresses_of(before)), "notify_email_addresses"
    if count <= MAX_RECIPIENTS:
        return fields
    return {**fields, name: msgspec.structs.replace(fields[name], max_items=count)}


def split_pin(settings: Document) -> tuple[Document, str | None]:
    """Returns the document without the PIN, and the PIN."""
    document: dict[str, Any] = {key: value for key, value in settings.items() if key != "pin"}
    return document, settings.get("pin")
