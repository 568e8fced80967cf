"""Webhooks: subscriptions to events over HTTP, and the signed request for an event."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from service.domain.errors import Problem, Rule
from service.domain.events import Event, EventType, attributes_of
from service.domain.formats import Format
from service.domain.schema import (
    Document,
    Field,
    apply_schema,
    check_size,
    strip_reserved_keys,
    type_of,
)

MAX_NAME = 128
MAX_WEBHOOKS = 100
"""Limit per account."""
MAX_FAILURES = 50
"""Number of consecutive failed attempts that disables a webhook."""
ANY_EVENT = "all"
PING = "webhook.ping"
"""Type of the event that a test sends."""
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

# Unknown keys are kept.
FIELDS = {
    "name": Field(required=True, min_length=1, max_length=MAX_NAME),
    "uri": Field(required=True, min_length=1, max_length=2048, format=WEB_ADDRESS),
    "hook": Field(required=True, enum=(ANY_EVENT, *EventType)),
    "enabled": Field(types=("boolean",), default=True),
    "custom_data": Field(types=("object",)),
}


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
    submitted = strip_reserved_keys(document, _SERVER_KEYS)
    check_size(submitted)
    checked, problems = apply_schema(submitted, FIELDS)
    custom = checked.get("custom_data")
    for key, value in custom.items() if isinstance(custom, dict) else ():
        if type_of(value) != "string":
            field = f"custom_data.{key.replace('.', '%2E')}"
            problems.append(Problem(field=field, rule=Rule.TYPE, target="string", value=value))
    return checked, problems


def format_secret(random: bytes) -> str:
    """Returns a signing secret in the form of Standard Webhooks."""
    return _SECRET_PREFIX + base64.b64encode(random).decode()


def encode_body(event: Event, custom_data: Mapping[str, str]) -> bytes:
    """Returns the event as CloudEvents 1.0 in structured JSON.

    CloudEvents attributes cannot be objects, so `customdata` is JSON text.
    """
    attributes: dict[str, Any] = {**attributes_of(event)}
    if event.traceparent is not None:
        attributes["traceparent"] = event.traceparent
    if custom_data:
        attributes["customdata"] = msgspec.json.encode(custom_data).decode()
    return msgspec.json.encode({**attributes, "data": msgspec.Raw(event.data)})


def sign_request(secret: str, message_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """Returns the headers of Standard Webhooks 1.0.0, which sign id, time and body.

    `message_id` must not contain a full stop, the separator of the signed parts.
    """
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    timestamp = str(int(sent_at.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "Content-Type": CONTENT_TYPE,
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
