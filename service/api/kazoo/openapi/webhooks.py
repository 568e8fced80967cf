"""Operations of webhooks."""

import msgspec

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import webhooks
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import (
    DocumentResponse,
    document_links,
    envelope,
    pages,
    success,
)
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.api.kazoo.wire.hooks import HOOK_ROWS, HookRow
from service.api.kazoo.wire.webhooks import AttemptRow, WebhookRow
from service.domain.errors import (
    DnsUnavailable,
    EditConflict,
    Invalid,
    Rule,
    TooManyPings,
    TooManyWebhooks,
    WebhookNotFound,
)
from service.domain.webhook import MAX_WEBHOOKS

TAG = {
    "name": "Webhooks",
    "description": "Subscriptions to events over HTTP. Events are CloudEvents in structured JSON, "
    "or flat payloads with the keys of KAZOO, signed according to Standard Webhooks 1.0.0",
}

_NOT_FOUND = WebhookNotFound(sample_requests.WEBHOOK_ID)
_FORBIDDEN_TARGET = Invalid.of("uri", Rule.FORBIDDEN_TARGET, value="http://169.254.169.254/")
_UNKNOWN_HOOK = Invalid.of("hook", Rule.ENUM, target=["all", "message.new"], value="message.old")
_CHECKS = (_FORBIDDEN_TARGET, _UNKNOWN_HOOK, DnsUnavailable())


_WEBHOOK = DocumentResponse(
    schema="Webhook", example=samples.WEBHOOK, revision=f"1-{sample_requests.WEBHOOK_ID}"
)
_CREATED = msgspec.structs.replace(
    _WEBHOOK, schema="CreatedWebhook", example=samples.NEWLY_CREATED_WEBHOOK
)
_NEW_WEBHOOK = envelope(ref("NewWebhook"), {"webhook": sample_requests.NEW_WEBHOOK})
_LINKS = document_links(
    *("webhook_id", "webhook", "webhook"),
    ping=("ping_webhook", "Send a test event"),
    attempts=("list_attempts", "List the attempts of its deliveries"),
)

_ATTEMPT_PARAMETERS = (*parameters.PAGES, *parameters.filters_of(AttemptRow), *parameters.CREATED)
_ATTEMPTS = pages(
    ref(AttemptRow), samples.WEBHOOK_ATTEMPT, description="A page of attempts", metadata=True
)
_RE_ENABLE = {
    "type": "object",
    "properties": {"re-enable": {"type": "boolean", "not": {"const": False}}},
    "required": ["re-enable"],
}
_WRONG_VALUE = Invalid.of("re-enable", Rule.ENUM, target=[True], value=False)

OPERATIONS = (
    Operation(
        handler=webhooks.list_hooks,
        signed_in=False,
        answers={
            200: success(
                {"type": "array", "items": ref(HookRow)}, HOOK_ROWS[:3], description="All hooks"
            )
        },
    ),
    Operation(
        handler=webhooks.enable_webhooks,
        body=envelope(_RE_ENABLE, {"all": {"re-enable": True}}),
        answers={
            200: success(
                {"const": "hooks updated", "type": "string"},
                "hooks updated",
                description="All webhooks that the service had disabled are enabled",
            )
        },
        refusals=(_WRONG_VALUE,),
    ),
    Operation(
        handler=webhooks.list_webhooks,
        parameters=parameters.list_of(WebhookRow),
        answers=pages(
            ref(WebhookRow), samples.WEBHOOK_ROW, description="A page of webhooks", metadata=True
        ),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=webhooks.create_webhook,
        body=_NEW_WEBHOOK,
        answers={201: _CREATED.describe("The new webhook", "Location", links=_LINKS)},
        refusals=(*_CHECKS, TooManyWebhooks(MAX_WEBHOOKS)),
    ),
    Operation(
        handler=webhooks.get_webhook,
        answers={200: _WEBHOOK.describe("The webhook")},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=webhooks.replace_webhook,
        body=_NEW_WEBHOOK,
        answers={200: _WEBHOOK.describe("The changed webhook")},
        refusals=(_NOT_FOUND, *_CHECKS, EditConflict()),
    ),
    Operation(
        handler=webhooks.patch_webhook,
        body=envelope(ref("WebhookChanges"), {"enabled": {"enabled": True}}, required=False),
        answers={200: _WEBHOOK.describe("The changed webhook")},
        refusals=(_NOT_FOUND, *_CHECKS, EditConflict()),
    ),
    Operation(
        handler=webhooks.delete_webhook,
        answers={200: _WEBHOOK.describe("The deleted webhook", extras=samples.DELETED)},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=webhooks.list_attempts,
        parameters=_ATTEMPT_PARAMETERS,
        answers=_ATTEMPTS,
        refusals=(_NOT_FOUND, *BAD_LIST),
    ),
    Operation(
        handler=webhooks.list_account_attempts,
        parameters=_ATTEMPT_PARAMETERS,
        answers=_ATTEMPTS,
        refusals=BAD_LIST,
    ),
    Operation(
        handler=webhooks.ping_webhook,
        answers={200: success(ref(AttemptRow), samples.WEBHOOK_ATTEMPT, description="The attempt")},
        refusals=(_NOT_FOUND, TooManyPings()),
    ),
)
