"""Webhooks: subscriptions to events over HTTP, and the signed request for an event."""

import base64
import hashlib
import hmac
from collections.abc import Container, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from service.domain.errors import Problem, Rule
from service.domain.events import TYPE_PREFIX, Event, EventType, attributes_of
from service.domain.formats import Format
from service.domain.notification_hooks import (
    ALL,
    MODIFIERS,
    NOTIFICATIONS,
    OBJECT,
    BodyFormat,
    NotificationType,
    ObjectAction,
    ObjectType,
    Payload,
    encode_notification,
    subscription_of,
)
from service.domain.schema import (
    Document,
    Field,
    apply_schema,
    check_size,
    submitted_keys,
    type_of,
)

MAX_NAME = 128
MAX_WEBHOOKS = 100
"""Limit per account."""
MAX_FAILURES = 50
"""Number of consecutive failed attempts that disables a webhook."""
PING = "webhook.ping"
"""Type of the event that a test sends."""
ANY_EVENT = ALL
CONTENT_TYPE = "application/cloudevents+json"
SECRET_BYTES = 32
_SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret
_SERVER_KEYS = frozenset({"id", "secret", "disable_reason", "metadata"})


def is_web_address(text: str) -> bool:
    """Returns True for an absolute HTTP(S) URL with a host, without credentials and fragment."""
    if not text.isprintable() or set(text) & set(" \\#"):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


WEB_ADDRESS = Format(name="http-url", is_valid=is_web_address, pattern="^https?://")

_FULL_TYPES = tuple(f"{TYPE_PREFIX}{kind}" for kind in EventType)

# Unknown keys are kept.
_COMMON_FIELDS = {
    "name": Field(required=True, min_length=1, max_length=MAX_NAME),
    "uri": Field(required=True, min_length=1, max_length=2048, format=WEB_ADDRESS),
    "hook": Field(required=True, enum=(ANY_EVENT, *EventType, *_FULL_TYPES, NOTIFICATIONS, OBJECT)),
    "enabled": Field(types=("boolean",), default=True),
    "custom_data": Field(types=("object",)),
}
FIELDS = {
    **_COMMON_FIELDS,
    "type": Field(enum=(ALL, *NotificationType, *ObjectType)),
    "action": Field(enum=(ALL, *ObjectAction)),
    "format": Field(enum=tuple(BodyFormat)),
}
"""Fields of all hooks; the last three are unknown keys of a webhook that sends CloudEvents."""


def _fields_with_modifiers(hook: str) -> Mapping[str, Field]:
    modifiers = {name: Field(enum=(ALL, *values)) for name, values in MODIFIERS[hook].items()}
    return {
        **_COMMON_FIELDS,
        **modifiers,
        "custom_data": Field(types=("object",), fields=modifiers),
        "format": Field(enum=tuple(BodyFormat), default=BodyFormat.FORM_DATA),
        "http_verb": Field(enum=("post",)),
    }


_FIELDS_OF_HOOK = {hook: _fields_with_modifiers(hook) for hook in MODIFIERS}


class DisableReason(StrEnum):
    """Reason why the service disabled a webhook."""

    FAILURES = "failures"
    GONE = "gone"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Stored webhook. `document` is the public document without `id` and secret."""

    account_id: UUID
    webhook_id: UUID
    document: Document
    disable_reason: DisableReason | None
    revision: int
    created_at: datetime
    modified_at: datetime

    @property
    def name(self) -> str:
        name: str = self.document["name"]
        return name

    @property
    def uri(self) -> str:
        uri: str = self.document["uri"]
        return uri

    @property
    def enabled(self) -> bool:
        return self.document["enabled"] is True

    @property
    def sends_notifications(self) -> bool:
        """True for the hooks `notifications` and `object`, False for CloudEvents."""
        return self.document["hook"] in MODIFIERS


class SealedWebhook(msgspec.Struct, frozen=True):
    """Webhook with its encrypted signing secret."""

    webhook: Webhook
    secret: bytes


class WebhookResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one POST; `error` is None when the receiver accepted it."""

    response_code: int | None
    error: str | None
    duration_ms: int
    retry_after_s: float = 0.0


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send an event to a webhook; `number` counts from 1."""

    webhook_id: UUID
    attempt_id: UUID
    event_id: UUID
    event_type: str
    number: int
    attempted_at: datetime
    response: WebhookResponse


def validate_webhook(document: Document) -> tuple[Document, list[Problem]]:
    """Returns the document with defaults, and the broken rules. Raises DocumentTooLarge.

    Does not resolve the host of the URL.
    """
    submitted = submitted_keys(document, _SERVER_KEYS)
    check_size(submitted)
    hook = submitted.get("hook")
    modifiers = MODIFIERS.get(hook, {}) if isinstance(hook, str) else {}
    fields = _FIELDS_OF_HOOK[str(hook)] if modifiers else _COMMON_FIELDS
    checked, problems = apply_schema(submitted, fields)
    if isinstance(checked.get("custom_data"), dict):
        problems += _check_custom_data(checked, modifiers)
    if modifiers and checked.get("include_subaccounts") is True:
        field = "include_subaccounts"
        problems.append(Problem(field=field, rule=Rule.ENUM, target=[False], value=True))
    return checked, problems


def _check_custom_data(document: Document, modifiers: Container[str]) -> Iterator[Problem]:
    """Yields values that are not strings, and modifiers that differ from those outside."""
    for key, value in document["custom_data"].items():
        field = f"custom_data.{key.replace('.', '%2E')}"
        if type_of(value) != "string":
            yield Problem(field=field, rule=Rule.TYPE, target="string", value=value)
        elif key in modifiers and document.get(key, value) != value:
            yield Problem(field=field, rule=Rule.ENUM, target=[document[key]], value=value)


def subscription_key(document: Document) -> str:
    """Returns the events that a valid webhook selects: `all`, an event type or a subscription."""
    hook: str = document["hook"]
    return subscription_of(document) if hook in MODIFIERS else hook.removeprefix(TYPE_PREFIX)


def format_secret(random: bytes) -> str:
    """Returns a signing secret in the form of Standard Webhooks."""
    return _SECRET_PREFIX + base64.b64encode(random).decode()


def encode_cloudevent_request(webhook: Webhook, event: Event) -> tuple[dict[str, str], bytes]:
    """Returns the headers and the body of a request: CloudEvents 1.0 in structured JSON.

    CloudEvents attributes cannot be objects, so `customdata` is JSON text.
    """
    attributes: dict[str, Any] = {**attributes_of(event)}
    if event.traceparent is not None:
        attributes["traceparent"] = event.traceparent
    if custom_data := webhook.document.get("custom_data"):
        attributes["customdata"] = msgspec.json.encode(custom_data).decode()
    body = msgspec.json.encode({**attributes, "data": msgspec.Raw(event.data)})
    return {"Content-Type": CONTENT_TYPE}, body


def encode_notification_request(webhook: Webhook, payload: Payload) -> tuple[dict[str, str], bytes]:
    """Returns the headers and the body of a request with a flat payload."""
    body_format = BodyFormat(webhook.document.get("format", BodyFormat.FORM_DATA))
    custom_data = webhook.document.get("custom_data", {})
    content_type, body = encode_notification(payload, custom_data, body_format)
    headers = {
        "Content-Type": content_type,
        "X-Hook-ID": webhook.webhook_id.hex,
        "X-Account-ID": webhook.account_id.hex,
    }
    return headers, body


def sign_request(secret: str, message_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """Returns the headers of Standard Webhooks 1.0.0, which sign id, time and body.

    `message_id` must not contain a full stop, the separator of the signed parts.
    """
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    timestamp = str(int(sent_at.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
