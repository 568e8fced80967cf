"""Hooks `notifications` and `object`: subscriptions and requests with flat payloads.

An event has one or more names in these hooks, such as `notifications.voicemail_new` and
`object.mailbox_message.doc_created`. A subscription selects the events with a name. In it, `all`
can replace each part of the name except the first.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib.metadata import version
from itertools import product
from typing import assert_never
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from service.domain.events import Event
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


def notification_header(event: Event, name: str) -> Payload:
    """Returns the keys that all payloads of `notifications` have."""
    return {
        **_APPLICATION,
        "event_category": "notification",
        "event_name": name,
        "msg_id": str(event.event_id),
        "account_id": event.account_id.hex,
    }


def ping_notification(event: Event, webhook_id: UUID) -> Payload:
    """Returns the payload of a test event."""
    return {**notification_header(event, event.type), "hook_id": webhook_id.hex}


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
        case _:
            assert_never(body_format)
    return _CONTENT_TYPES[body_format], body
