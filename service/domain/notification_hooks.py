"""Hooks `notifications` and `object`: events in the flat vocabulary of telephony systems.

An event has one name for each subscription of these hooks that it concerns, such as
`notifications.voicemail_new` and `object.mailbox_message.doc_created`. A subscription is such a
name, in which `all` can replace a part after the first.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib.metadata import version
from itertools import product
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from service.domain.events import (
    DATA,
    AccountEvent,
    Event,
    EventMessage,
    EventType,
    FolderChangeReason,
    MessageFolderChanged,
    MessageNew,
    MessageRemoved,
    OriginReason,
    RemovalReason,
    VmboxWasFull,
    decode_data,
)
from service.domain.message import Folder
from service.domain.schema import Document

Payload = dict[str, str | int]

ALL = "all"
NOTIFICATIONS = "notifications"
OBJECT = "object"


class NotificationType(StrEnum):
    """Values of the modifier `type` of the hook `notifications`."""

    NEW = "voicemail_new"
    SAVED = "voicemail_saved"
    DELETED = "voicemail_deleted"
    FULL = "voicemail_full"


class ObjectType(StrEnum):
    """Values of the modifier `type` of the hook `object`."""

    VMBOX = "vmbox"
    MESSAGE = "mailbox_message"


class ObjectAction(StrEnum):
    """Values of the modifier `action` of the hook `object`."""

    CREATED = "doc_created"
    EDITED = "doc_edited"
    DELETED = "doc_deleted"


class BodyFormat(StrEnum):
    """Encoding of the payloads of these hooks."""

    FORM_DATA = "form-data"
    JSON = "json"


MODIFIERS: Mapping[str, Mapping[str, type[StrEnum]]] = {
    NOTIFICATIONS: {"type": NotificationType},
    OBJECT: {"type": ObjectType, "action": ObjectAction},
}
"""Modifiers of each hook, in the order of the parts of a subscription."""

SAVED = f"{NOTIFICATIONS}.{NotificationType.SAVED}"
"""Name of an event whose message stays in the folder `new`."""

_CHANGES = {
    EventType.MESSAGE_NEW: (ObjectType.MESSAGE, ObjectAction.CREATED),
    EventType.MESSAGE_FOLDER_CHANGED: (ObjectType.MESSAGE, ObjectAction.EDITED),
    EventType.MESSAGE_AUDIO_REPLACED: (ObjectType.MESSAGE, ObjectAction.EDITED),
    EventType.MESSAGE_TRANSCRIBED: (ObjectType.MESSAGE, ObjectAction.EDITED),
    EventType.MESSAGE_REMOVED: (ObjectType.MESSAGE, ObjectAction.DELETED),
    EventType.VMBOX_CREATED: (ObjectType.VMBOX, ObjectAction.CREATED),
    EventType.VMBOX_UPDATED: (ObjectType.VMBOX, ObjectAction.EDITED),
    EventType.VMBOX_DELETED: (ObjectType.VMBOX, ObjectAction.DELETED),
}
_DELETION_REASONS = {
    FolderChangeReason.API: "crossbar_action",
    FolderChangeReason.NOTIFIED: "delete_after_notify",
}
_APPLICATION = {"app_name": "aftertone", "app_version": version("aftertone"), "node": "aftertone"}
_CONTENT_TYPES = {
    BodyFormat.FORM_DATA: "application/x-www-form-urlencoded",
    BodyFormat.JSON: "application/json",
}


def modifier_of(document: Document, name: str) -> str:
    """Returns a modifier of a valid webhook, from `custom_data` too. The default is `all`."""
    modifier: str = document.get(name) or document.get("custom_data", {}).get(name) or ALL
    return modifier


def subscription_of(document: Document) -> str:
    """Returns the subscription of a valid webhook with one of these hooks."""
    hook: str = document["hook"]
    return ".".join((hook, *(modifier_of(document, name) for name in MODIFIERS[hook])))


def subscriptions_to(name: str) -> Iterator[str]:
    """Yields the subscriptions that select a name of an event."""
    hook, *parts = name.split(".")
    for selected in product(*((part, ALL) for part in parts)):
        yield ".".join((hook, *selected))


def notifications_of(event: Event) -> dict[str, Payload]:
    """Returns the payloads of an event by its names. Raises msgspec.DecodeError."""
    if event.type not in DATA:
        return {}
    kind = EventType(event.type)
    data = decode_data(kind, event.data)
    notifications: dict[str, Payload] = {
        f"{NOTIFICATIONS}.{name}": {**_notification(event, name), **fields}
        for name, fields in _notification_fields(data)
    }
    if kind not in _CHANGES:
        return notifications
    changed, action = _CHANGES[kind]
    payload: Payload = {
        "id": event.media_id or event.vmbox_id.hex,
        "account_id": event.account_id.hex,
        "action": action.value,
        "type": changed.value,
    }
    return {**notifications, f"{OBJECT}.{changed}.{action}": payload}


def ping_notification(event: Event, webhook_id: UUID) -> Payload:
    """Returns the payload of a test event."""
    return {**_notification(event, event.type), "hook_id": webhook_id.hex}


def encode_notification(
    payload: Payload, custom_data: Mapping[str, str], body_format: BodyFormat
) -> tuple[str, bytes]:
    """Returns the content type and the body. Custom data replaces values of the payload.

    A modifier `all` in the custom data only selects events.
    """
    selectors = {(name, ALL) for modifiers in MODIFIERS.values() for name in modifiers}
    fields = {
        **payload,
        **{key: text for key, text in custom_data.items() if (key, text) not in selectors},
    }
    match body_format:
        case BodyFormat.JSON:
            body = msgspec.json.encode(fields)
        case BodyFormat.FORM_DATA:
            body = urlencode(fields).encode()
    return _CONTENT_TYPES[body_format], body


def _notification(event: Event, name: str) -> Payload:
    return {
        **_APPLICATION,
        "event_category": "notification",
        "event_name": name,
        "msg_id": str(event.event_id),
        "account_id": event.account_id.hex,
    }


def _notification_fields(data: AccountEvent) -> Iterator[tuple[NotificationType, Payload]]:
    match data:
        case MessageNew() if data.origin.reason is OriginReason.STORED:
            if data.message.folder is Folder.NEW:
                fields = _message_fields(data.vmbox_id, data.message)
                yield NotificationType.NEW, fields
                yield NotificationType.SAVED, fields
        case MessageFolderChanged(to=Folder.DELETED):
            reason = _DELETION_REASONS[data.reason]
            fields = _message_fields(data.vmbox_id, data.message)
            yield NotificationType.DELETED, {**fields, "reason": reason}
        case MessageRemoved(reason=RemovalReason.API):
            # A message in `deleted` has caused this notification before.
            if data.message.folder is not Folder.DELETED:
                reason = _DELETION_REASONS[FolderChangeReason.API]
                fields = _message_fields(data.vmbox_id, data.message)
                yield NotificationType.DELETED, {**fields, "reason": reason}
        case VmboxWasFull():
            yield (
                NotificationType.FULL,
                {
                    "voicemail_box": data.vmbox_id,
                    "max_message_count": data.max_message_count,
                    "message_count": data.message_count,
                },
            )


def _message_fields(vmbox_id: str, message: EventMessage) -> Payload:
    from_user, _, from_realm = message.from_.partition("@")
    to_user, _, to_realm = message.to.partition("@")
    return {
        "voicemail_box": vmbox_id,
        "voicemail_id": message.media_id,
        "voicemail_timestamp": message.timestamp,
        "voicemail_length": message.length,
        "call_id": message.call_id,
        "caller_id_name": message.caller_id_name,
        "caller_id_number": message.caller_id_number,
        "from_user": from_user,
        "from_realm": from_realm,
        "to_user": to_user,
        "to_realm": to_realm,
    }
