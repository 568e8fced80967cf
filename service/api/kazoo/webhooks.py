"""Routes of webhooks: `/v2/accounts/{account}/webhooks`. A secret is shown when it is made."""

from typing import Any
from uuid import UUID

from litestar import Response, delete, patch, post, put, route

from service.api.dependencies import App
from service.api.kazoo import wire
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount, location
from service.api.kazoo.envelope import succeed
from service.api.kazoo.filters import read_filter
from service.api.kazoo.pages import answer_page
from service.api.kazoo.query import (
    ascends,
    created_and_modified,
    decode_key,
    page_query,
)
from service.domain.errors import WebhookNotFound
from service.domain.message import parse_hex_id
from service.domain.page import NameCursor
from service.domain.webhook import Attempt, Webhook

COLLECTION = "/accounts/{account_id:str}/webhooks"
ONE = COLLECTION + "/{webhook_id:str}"


@route(COLLECTION, http_method=["GET", "HEAD"])
async def list_webhooks(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """The webhooks of an account by name."""
    query = page_query(request)
    start = decode_key(query.start_key, NameCursor)
    wanted = read_filter(request.query_params.multi_items())
    times = created_and_modified(request)

    def keep(webhook: Webhook) -> bool:
        return times.holds(webhook.created_at, webhook.modified_at) and wanted.matches(
            wire.webhook_document(webhook)
        )

    page = await app.webhooks.list(
        account,
        start,
        query.limit,
        descending=not ascends(request, default=True),
        predicate=keep if wanted or times else None,
    )
    rows = [wire.webhook_row(webhook) for webhook in page.items]
    return answer_page(request, query, rows, start=start, following=page.next, metadata={})


@put(COLLECTION, status_code=201)
async def create_webhook(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """A new webhook. Its `secret` signs what is sent to it and is shown in this answer only."""
    webhook, secret = await app.webhooks.create(account, await read_data(request))
    headers = location(request, account, webhook.webhook_id.hex)
    return _one(request, webhook, {"secret": secret}, status=201, headers=headers)


@route(ONE, http_method=["GET", "HEAD"])
async def get_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """One webhook."""
    return _one(request, await app.webhooks.get(account, webhook_of_path(webhook_id)))


@post(ONE, status_code=200)
async def replace_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """All settings of a webhook: what is left out goes. Its secret stays."""
    identity = webhook_of_path(webhook_id)
    return _one(request, await app.webhooks.replace(account, identity, await read_data(request)))


@patch(ONE)
async def patch_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Some settings of a webhook; null deletes. `enabled` has one tried again that was disabled."""
    identity = webhook_of_path(webhook_id)
    return _one(request, await app.webhooks.patch(account, identity, await read_data(request)))


@delete(ONE, status_code=200)
async def delete_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Deletes a webhook, and what still waits for it."""
    webhook = await app.webhooks.delete(account, webhook_of_path(webhook_id))
    return _one(request, webhook, {"_read_only": {"deleted": True}}, deleted=True)


@route(ONE + "/attempts", http_method=["GET", "HEAD"])
async def list_attempts(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """The attempts to tell a webhook of events, the latest first. They are kept for 15 days."""
    query = page_query(request)
    start = decode_key(query.start_key, UUID)
    wanted = read_filter(request.query_params.multi_items())

    def keep(attempt: Attempt) -> bool:
        return wanted.matches(wire.attempt_row(attempt))

    page = await app.webhooks.attempts(
        account,
        webhook_of_path(webhook_id),
        start,
        query.limit,
        ascending=ascends(request, default=False),
        predicate=keep if wanted else None,
    )
    rows = [wire.attempt_row(attempt) for attempt in page.items]
    return answer_page(request, query, rows, start=start, following=page.next, metadata={})


@post(ONE + "/ping", status_code=200)
async def ping_webhook(
    request: AnyRequest, account: TheAccount, webhook_id: str, app: App
) -> Response[bytes]:
    """Sends a test event at once and answers how that went. Disabled webhooks can be tested too,
    and failures of tests disable none."""
    attempt = await app.webhooks.ping(account, webhook_of_path(webhook_id))
    return succeed(request, wire.attempt_row(attempt))


ROUTES = (
    list_webhooks,
    create_webhook,
    get_webhook,
    replace_webhook,
    patch_webhook,
    delete_webhook,
    list_attempts,
    ping_webhook,
)


def webhook_of_path(text: str) -> UUID:
    """The webhook id in a path; what is no id names no webhook."""
    webhook_id = parse_hex_id(text)
    if webhook_id is None:
        raise WebhookNotFound(text[:64])
    return webhook_id


def _one(
    request: AnyRequest,
    webhook: Webhook,
    more: dict[str, Any] | None = None,
    *,
    deleted: bool = False,
    **frame: Any,
) -> Response[bytes]:
    times = (webhook.created_at, webhook.modified_at)
    return succeed(
        request,
        {**wire.webhook_document(webhook), **(more or {})},
        revision=f"{webhook.revision}-{webhook.webhook_id.hex}",
        metadata=wire.metadata_of(webhook.webhook_id, *times, deleted=deleted),
        **frame,
    )
