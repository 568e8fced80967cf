"""Vendor JSON <-> domain: messages, boxes and accounts as this dialect writes them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service.api.http.times import format_iso
from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.times import from_gregorian, gregorian, parse_iso
from service.domain.account import Account
from service.domain.errors import Invalid, Problem, Rule
from service.domain.greeting import Greeting
from service.domain.message import (
    ANONYMOUS,
    MAX_ADDRESS,
    MAX_CALLER_ID,
    CallerId,
    Folder,
    Message,
    NewMessage,
)
from service.domain.schema import Document, Field, apply_schema
from service.domain.text import strip_control_characters
from service.domain.user import User
from service.domain.vmbox import Vmbox
from service.domain.webhook import Attempt, Webhook

_MAX_LENGTH_MS = 2**31 - 1
AUDIAN_ROW = ("name", "mailbox", "owner_id", "timezone", "pin", "require_pin")
USER_ROW = ("username", "first_name", "last_name", "email", "timezone")
GREETING_ROW = ("id", "name", "description", "language", "content_type", "content_length")
WEBHOOK_ROW = ("name", "uri", "hook", "enabled")
_FOLDERS = ("deleted", "saved", "new")

# KAZOO API docs, "Voicemail", create a message: what a client may say of it.
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


class View(msgspec.Struct, frozen=True):
    """How messages are shown: in which profile, and since when they are retained."""

    profile: WireProfile
    retained_since: datetime


def to_new_message(data: Document, profile: WireProfile) -> NewMessage:
    """What the client says of a new message; Invalid names every field that breaks a rule."""
    known = {name: value for name, value in data.items() if name in MESSAGE_FIELDS}
    received_at = parse_iso(known.get("timestamp"))
    if received_at is not None:
        del known["timestamp"]
    given, problems = apply_schema(known, MESSAGE_FIELDS)
    if "timestamp" in given and not problems:
        received_at = from_gregorian(given["timestamp"])
        if received_at is None:
            problems.append(Problem(field="timestamp", rule=Rule.DATE_RANGE))
    if problems:
        raise Invalid(problems)
    length = given.get("length")
    if length is not None and profile is WireProfile.AUDIAN:
        length = min(length * 1000, _MAX_LENGTH_MS)
    number = strip_control_characters(given.get("caller_id_number") or "") or ANONYMOUS
    return NewMessage(
        received_at=received_at,
        folder=Folder(given.get("folder", Folder.NEW)),
        length_ms=length,
        caller_id=CallerId(
            number, strip_control_characters(given.get("caller_id_name") or "") or ANONYMOUS
        ),
        call_id=strip_control_characters(given.get("call_id") or "") or None,
        from_uri=strip_control_characters(given.get("from") or "") or None,
        to_uri=strip_control_characters(given.get("to") or "") or None,
    )


def to_folder(value: Any, default: Folder | None = None) -> Folder:
    """The folder a client names; an unknown one is Invalid, none at all the default."""
    if value is None and default is not None:
        return default
    if value not in _FOLDERS:
        raise Invalid.of("folder", Rule.ENUM, target=list(_FOLDERS), value=value)
    return Folder(value)


def message_row(message: Message, view: View) -> Document:
    """A message as a row of a list. What is past retention shows as deleted.

    Times are Gregorian seconds and lengths milliseconds; in the `audian` profile ISO-8601 and
    seconds.
    """
    audian = view.profile is WireProfile.AUDIAN
    expired = message.received_at < view.retained_since
    row: Document = {
        "timestamp": format_iso(message.received_at) if audian else gregorian(message.received_at),
        "from": message.from_uri,
        "to": message.to_uri,
        "caller_id_number": message.caller_id.number,
        "caller_id_name": message.caller_id.name,
        "call_id": message.call_id,
        "folder": (Folder.DELETED if expired else message.folder).value,
        "length": message.length_s if audian else message.length_ms,
        "media_id": str(message.id),
    }
    if message.transcription is not None and "result" in message.transcription:
        row["transcribed"] = message.transcription["result"] == "success"
    if expired:
        row["retention"] = "enforced"
        row["retention_message"] = (
            "this message is prior to retention policy, no update operation is permitted"
        )
    return row


def message_metadata(message: Message, view: View) -> Document:
    """A message on its own: a list row, its addresses split, and its transcription."""
    metadata = message_row(message, view)
    metadata.pop("transcribed", None)
    for name, address in (("from", message.from_uri), ("to", message.to_uri)):
        metadata[f"{name}_user"], _, metadata[f"{name}_realm"] = address.partition("@")
    if message.transcription is not None:
        metadata["transcription"] = message.transcription
    return metadata


def message_filterable(message: Message, view: View) -> Document:
    """What filters see of a message: its metadata, and what its list row says besides."""
    return {**message_metadata(message, view), **message_row(message, view)}


def pending_message(message: Message, view: View) -> Document:
    """A message stored without audio: the metadata, and the same once more as clients of 4.x
    expect it, under `id` and `metadata`."""
    metadata = message_metadata(message, view)
    return {**metadata, "id": str(message.id), "metadata": metadata}


def vmbox_document(vmbox: Vmbox) -> Document:
    """The whole public document of a box."""
    return {**vmbox.settings, "id": vmbox.vmbox_id.hex}


def vmbox_filterable(vmbox: Vmbox) -> Document:
    """What filters of a box list see: the whole document without the PIN."""
    return {**vmbox.document, "id": vmbox.vmbox_id.hex}


def vmbox_row(vmbox: Vmbox, profile: WireProfile) -> Document:
    """A box as a row of a list."""
    row: Document = {"id": vmbox.vmbox_id.hex}
    if profile is WireProfile.AUDIAN:
        settings = vmbox.settings
        return row | {name: settings[name] for name in AUDIAN_ROW if name in settings}
    document = vmbox.document
    row |= {
        "name": document["name"],
        "mailbox": document["mailbox"],
        "flags": document.get("flags", []),
        "messages": vmbox.counts.total,
        "folders": {"new": vmbox.counts.new, "saved": vmbox.counts.saved},
    }
    if "owner_id" in document:
        row["owner_id"] = document["owner_id"]
    return row


def vmbox_metadata(vmbox: Vmbox, *, deleted: bool = False) -> Document:
    """The `metadata` that stands beside a box in its envelope."""
    return metadata_of(vmbox.vmbox_id, vmbox.created_at, vmbox.modified_at, deleted=deleted)


def greeting_document(greeting: Greeting) -> Document:
    """The whole public document of a greeting; what it says of its audio is the server's."""
    document = {**greeting.document, "id": greeting.media_id.hex}
    if greeting.audio is not None:
        document["content_type"] = greeting.audio.content_type
        document["content_length"] = greeting.audio.size
    return document


def greeting_row(greeting: Greeting) -> Document:
    """A greeting as a row of a list."""
    document = greeting_document(greeting)
    return {name: document[name] for name in GREETING_ROW if name in document}


def account_document(account: Account) -> Document:
    """The public document of an account."""
    return {**account.document, "id": account.account_id.hex}


def account_row(account: Account) -> Document:
    """An account as a row of a list."""
    return {"id": account.account_id.hex, "name": account.name, "realm": account.realm}


def user_document(user: User) -> Document:
    """The public document of a user: nothing that one signs in with."""
    return {**user.document, "id": user.user_id.hex}


def user_row(user: User) -> Document:
    """A user as a row of a list."""
    row = {name: user.document[name] for name in USER_ROW if name in user.document}
    return {"id": user.user_id.hex, **row}


def webhook_document(webhook: Webhook) -> Document:
    """The public document of a webhook, and why the service disabled it, if it did."""
    document = {**webhook.document, "id": webhook.webhook_id.hex}
    if webhook.disable_reason is not None:
        document["disable_reason"] = webhook.disable_reason
    return document


def webhook_row(webhook: Webhook) -> Document:
    """A webhook as a row of a list."""
    document = webhook_document(webhook)
    names = ("id", *WEBHOOK_ROW, "disable_reason")
    return {name: document[name] for name in names if name in document}


def attempt_row(attempt: Attempt) -> Document:
    """An attempt to tell a webhook of an event; `response_code` and `error` when there is one."""
    answer = attempt.response
    row: Document = {
        "id": attempt.attempt_id.hex,
        "event_id": str(attempt.event_id),
        "hook": attempt.event_type,
        "attempt": attempt.number,
        "timestamp": gregorian(attempt.attempted_at),
        "status": "success" if answer.error is None else "failure",
        "duration_ms": answer.duration_ms,
    }
    more = {"response_code": answer.response_code, "error": answer.error}
    return row | {name: value for name, value in more.items() if value is not None}


def metadata_of(
    identity: UUID, created_at: datetime, modified_at: datetime, *, deleted: bool = False
) -> Document:
    """The `metadata` that stands beside a document in its envelope."""
    metadata: Document = {
        "id": identity.hex,
        "created": gregorian(created_at),
        "modified": gregorian(modified_at),
    }
    return {**metadata, "deleted": True} if deleted else metadata
