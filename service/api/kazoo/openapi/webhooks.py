"""Operations of webhooks."""

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.kazoo import webhooks
from service.api.kazoo.openapi import parameters, samples
from service.api.kazoo.openapi.bodies import envelope, link, pages, success
from service.api.kazoo.openapi.schemas import ref
from service.api.kazoo.openapi.vmboxes import BAD_LIST
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
    "description": "Who is told of events over HTTP: CloudEvents in structured JSON, signed as "
    "Standard Webhooks 1.0.0 says",
}

_NAME = TAG["name"]
_UNKNOWN = WebhookNotFound(samples.WEBHOOK_ID)
_FORBIDDEN = Invalid.of("uri", Rule.FORBIDDEN_TARGET, value="http://169.254.169.254/")
_NO_HOOK = Invalid.of("hook", Rule.ENUM, target=["all", "message.new"], value="message.old")
_CHECKED = (_FORBIDDEN, _NO_HOOK, DnsUnavailable())


def _one(text: str, *headers: str, links: Json | None = None, more: Json | None = None) -> Json:
    return success(
        ref("NewlyMadeWebhook" if links else "Webhook"),
        samples.WEBHOOK | (more or {}),
        text=text,
        revision=f"1-{samples.WEBHOOK_ID}",
        metadata=(ref("Metadata"), samples.WEBHOOK_METADATA),
        headers=headers,
        links=links,
    )


def _links() -> Json:
    """What one can do with a new webhook."""
    targets = {
        "get": ("get_webhook", "Read it"),
        "replace": ("replace_webhook", "Set all its settings"),
        "patch": ("patch_webhook", "Change some settings"),
        "delete": ("delete_webhook", "Delete it"),
        "ping": ("ping_webhook", "Test it"),
        "attempts": ("list_attempts", "See how it fared"),
    }
    return {
        name: link(operation, text, webhook_id="$response.body#/data/id")
        for name, (operation, text) in targets.items()
    }


OPERATIONS = (
    Operation(
        handler=webhooks.list_webhooks,
        tag=_NAME,
        parameters=parameters.LIST,
        answers=pages(
            ref("WebhookRow"), [samples.WEBHOOK_ROW], text="Webhooks by name", metadata=True
        ),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=webhooks.create_webhook,
        tag=_NAME,
        body=envelope(ref("NewWebhook"), {"webhook": samples.NEW_WEBHOOK}),
        answers={
            201: _one(
                "Created", "Location", links=_links(), more={"secret": samples.WEBHOOK_SECRET}
            )
        },
        refusals=(*_CHECKED, TooManyWebhooks(MAX_WEBHOOKS)),
    ),
    Operation(
        handler=webhooks.get_webhook,
        tag=_NAME,
        answers={200: _one("The webhook")},
        refusals=(_UNKNOWN,),
    ),
    Operation(
        handler=webhooks.replace_webhook,
        tag=_NAME,
        body=envelope(ref("NewWebhook"), {"webhook": samples.NEW_WEBHOOK}),
        answers={200: _one("The webhook as it is now")},
        refusals=(_UNKNOWN, *_CHECKED, EditConflict()),
    ),
    Operation(
        handler=webhooks.patch_webhook,
        tag=_NAME,
        body=envelope(ref("WebhookChanges"), {"enabled": {"enabled": True}}, required=False),
        answers={200: _one("The webhook as it is now")},
        refusals=(_UNKNOWN, *_CHECKED, EditConflict()),
    ),
    Operation(
        handler=webhooks.delete_webhook,
        tag=_NAME,
        answers={200: _one("The webhook as it was", more=samples.DELETED)},
        refusals=(_UNKNOWN,),
    ),
    Operation(
        handler=webhooks.list_attempts,
        tag=_NAME,
        parameters=(*parameters.PAGES, *parameters.FILTERS),
        answers=pages(
            ref("WebhookAttempt"),
            [samples.WEBHOOK_ATTEMPT],
            text="Attempts, the latest first",
            metadata=True,
        ),
        refusals=(_UNKNOWN, *BAD_LIST),
    ),
    Operation(
        handler=webhooks.ping_webhook,
        tag=_NAME,
        answers={200: success(ref("WebhookAttempt"), samples.WEBHOOK_ATTEMPT, text="How it went")},
        refusals=(_UNKNOWN, TooManyPings()),
    ),
)
