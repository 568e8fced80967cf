"""Routes of webhooks: `/v2/accounts/{account}/webhooks`."""

from functools import partial
from typing import Any
from uuid import UUID

from litestar import Response, delete, patch, post, put, route
from msgspec import UNSET

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.kazoo.accept import negotiate
from service.api.kazoo.body import read_data, read_parameters
from service.api.kazoo.dependencies import AnyRequest, TheAccount, location, webhook_of_path
from service.api.kazoo.documents import answer_document, list_documents
from service.api.kazoo.envelope import succeed
from service.api.kazoo.filters import read_filter
from service.api.kazoo.pages import answer_page, decode_cursor, is_ascending, page_query
from service.api.kazoo.query import time_bounds
from service.api.kazoo.wire.hooks import HOOK_ROWS
from service.api.kazoo.wire.webhooks import (
    WebhookRow,
    attempt_filterable,
    attempt_row,
    new_webhook_document,
    webhook_document,
    webhook_row,
)
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.errors import Invalid, Rule
from service.domain.schema import Document
from service.domain.webhook import Attempt, Webhook

HOOKS = "/webhooks"
WEBHOOKS = "/accounts/{account_id:str}/webhooks"
WEBHOOK = WEBHOOKS + "/{webhook_id:str}"
_RE_ENABLE = "re-enable"


@route(HOOKS, http_method=["GET", "HEAD"])
async def list_hooks(request: AnyRequest) -> Response[bytes]:
    """Lists the hooks that webhooks can subscribe to. A hook with `modifiers` selects events by
    these fields of the webhook. The request needs no token."""
    negotiate(request)
    return succeed(request, HOOK_ROWS)


@route(WEBHOOKS, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def list_webhooks(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Lists the webhooks of an account. The list is sorted by name."""
    read = partial(app.webhooks.list, account)
    return await list_documents(request, read, webhook_row, webhook_document, WebhookRow)


@patch(WEBHOOKS, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def enable_webhooks(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Enables all webhooks of an account that the service has disabled. Those that a client has
    disabled stay disabled."""
    parameters = await read_parameters(request)
    value = parameters.get(_RE_ENABLE)
    if value is UNSET:
        raise Invalid.of(_RE_ENABLE, Rule.REQUIRED)
    if value not in (True, "true"):
        raise Invalid.of(_RE_ENABLE, Rule.ENUM, target=[True], value=value)
    await app.webhooks.enable_disabled(account)
    return succeed(request, "hooks updated")


@put(WEBHOOKS, status_code=201, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def create_webhook(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Creates a webhook. Only this response contains its `secret`, which signs the events."""
    webhook, secret = await app.webhooks.create(account, await read_data(request))
    headers = location(request, account, webhook.webhook_id.hex)
    document = new_webhook_document(webhook, secret)
    return _answer(request, webhook, document, status=201, headers=headers)


@route(WEBHOOK, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def get_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Returns a webhook. `disable_reason` is present if the service has disabled it."""
    return _answer(request, await app.webhooks.get(account, webhook_of_path(webhook_id)))


@post(WEBHOOK, status_code=200, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def replace_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Replaces all settings of a webhook. Absent settings are removed; the secret stays."""
    parsed_id, document = webhook_of_path(webhook_id), await read_data(request)
    return _answer(request, await app.webhooks.replace(account, parsed_id, document))


@patch(WEBHOOK, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def patch_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Changes some settings of a webhook. A null deletes a setting. Set `enabled` to true to
    enable a webhook that the service has disabled."""
    parsed_id, changes = webhook_of_path(webhook_id), await read_data(request)
    return _answer(request, await app.webhooks.patch(account, parsed_id, changes))


@delete(WEBHOOK, status_code=200, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def delete_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Deletes a webhook. Its pending deliveries are deleted, too."""
    deleted = await app.webhooks.delete(account, webhook_of_path(webhook_id))
    return _answer(request, deleted, is_deleted=True)


@route(
    WEBHOOK + "/attempts", http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN}
)
async def list_attempts(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Lists the attempts to deliver events to a webhook, the newest first. Attempts are kept for
    15 days."""
    return await _list_attempts(request, account, webhook_of_path(webhook_id), app)


@route(
    WEBHOOKS + "/attempts", http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN}
)
async def list_account_attempts(
    request: AnyRequest, account: TheAccount, app: App
) -> Response[bytes]:
    """Lists the attempts to deliver events to all webhooks of an account, the newest first.
    Attempts are kept for 15 days."""
    return await _list_attempts(request, account, None, app)


@post(WEBHOOK + "/ping", status_code=200, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def ping_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Sends a test event to a webhook and returns the result. A disabled webhook can be tested,
    too. Failed tests do not disable a webhook."""
    attempt = await app.webhooks.ping(account, webhook_of_path(webhook_id))
    return succeed(request, attempt_row(attempt))


ROUTES = (
    list_hooks,
    list_webhooks,
    enable_webhooks,
    create_webhook,
    get_webhook,
    replace_webhook,
    patch_webhook,
    delete_webhook,
    list_attempts,
    list_account_attempts,
    ping_webhook,
)


def _answer(
    request: AnyRequest, webhook: Webhook, document: Document | None = None, **envelope: Any
) -> Response[bytes]:
    document = document or webhook_document(webhook)
    return answer_document(request, document, webhook, webhook.webhook_id, **envelope)


async def _list_attempts(
    request: AnyRequest, account: AccountFacts, webhook_id: UUID | None, app: UseCases
) -> Response[bytes]:
    query = page_query(request)
    start = decode_cursor(query.start_key, UUID)
    bounds = time_bounds(request)
    matches = read_filter(request.query_params.multi_items())

    def predicate(attempt: Attempt) -> bool:
        return bounds.contain(attempt.attempted_at, attempt.attempted_at) and (
            matches is None or matches(attempt_filterable(attempt))
        )

    page = await app.webhooks.attempts(
        account,
        webhook_id,
        start,
        query.limit,
        ascending=is_ascending(request, default=False),
        predicate=predicate if matches or bounds else None,
    )
    rows = [attempt_row(attempt) for attempt in page.items]
    return answer_page(request, query, rows, start=start, following=page.next, metadata={})
