"""JSON of webhooks and the attempts of their deliveries."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, to_builtins

from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.documents import DocumentExtras, to_row, with_extras
from service.api.kazoo.wire.types import Count, GregorianSeconds, HexId
from service.domain.schema import Document
from service.domain.webhook import Attempt, DisableReason, Webhook


class WebhookExtras(DocumentExtras, kw_only=True):
    """Fields that the server adds to a webhook."""

    disable_reason: (
        Annotated[DisableReason, Meta(description="The reason why the service disabled it")]
        | UnsetType
    ) = UNSET


class NewWebhookExtras(WebhookExtras, kw_only=True):
    """Fields that the server adds to a webhook that it has just created."""

    secret: Annotated[
        str,
        Meta(pattern="^whsec_[A-Za-z0-9+/]+=*$", description="Signs events; sent only once"),
    ]


class WebhookRow(msgspec.Struct, kw_only=True):
    """A webhook in a list."""

    id: HexId
    name: str
    uri: str
    hook: str
    enabled: bool
    disable_reason: DisableReason | UnsetType = UNSET


class AttemptRow(msgspec.Struct, kw_only=True):
    """An attempt to deliver an event to a webhook."""

    id: HexId
    hook_id: Annotated[HexId, Meta(description="The webhook")]
    event_id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    hook: Annotated[str, Meta(description="The type of the event; `webhook.ping` for a test")]
    attempt: Annotated[int, Meta(ge=1, description="The number of the attempt")]
    timestamp: GregorianSeconds
    status: Literal["success", "failure"]
    result: Annotated[
        Literal["success", "failure"], Meta(description="The same as `status`, as in KAZOO")
    ]
    method: Literal["post"] = "post"
    duration_ms: Count
    response_code: (
        Annotated[int, Meta(description="Present if the target answered")] | UnsetType
    ) = UNSET
    error: Annotated[str, Meta(description="Present if the attempt failed")] | UnsetType = UNSET
    reason: (
        Annotated[
            Literal["bad response code", "kazoo http client error"],
            Meta(description="The kind of `error`, as in KAZOO"),
        ]
        | UnsetType
    ) = UNSET
    client_error: (
        Annotated[str, Meta(description="The same as `error`, if the target did not answer")]
        | UnsetType
    ) = UNSET


def webhook_document(webhook: Webhook) -> Document:
    """Returns the public document of a webhook."""
    return with_extras(webhook.document, WebhookExtras(**_extras(webhook)))


def new_webhook_document(webhook: Webhook, secret: str) -> Document:
    """Returns the document of a webhook that was just created."""
    return with_extras(webhook.document, NewWebhookExtras(secret=secret, **_extras(webhook)))


def webhook_row(webhook: Webhook) -> WebhookRow:
    """Returns a webhook as a row of a list."""
    return to_row(WebhookRow, webhook_document(webhook))


def attempt_row(attempt: Attempt) -> AttemptRow:
    """Returns an attempt as a row of a list."""
    response = attempt.response
    row = AttemptRow(
        id=attempt.attempt_id.hex,
        hook_id=attempt.webhook_id.hex,
        event_id=str(attempt.event_id),
        hook=attempt.event_type,
        attempt=attempt.number,
        timestamp=gregorian(attempt.attempted_at),
        status="success",
        result="success",
        duration_ms=response.duration_ms,
        response_code=UNSET if response.response_code is None else response.response_code,
    )
    if response.error is not None:
        row.status = row.result = "failure"
        row.error = response.error
        row.reason = "bad response code"
        if response.response_code is None:
            row.reason, row.client_error = "kazoo http client error", response.error
    return row


def attempt_filterable(attempt: Attempt) -> Document:
    """Returns the document that filters of a list of attempts apply to."""
    document: Document = to_builtins(attempt_row(attempt))
    return document


def _extras(webhook: Webhook) -> dict[str, Any]:
    reason = webhook.disable_reason
    return {
        "id": webhook.webhook_id.hex,
        "disable_reason": UNSET if reason is None else reason,
    }
