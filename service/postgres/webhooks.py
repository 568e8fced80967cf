"""Webhooks and attempts: one function per statement of webhooks.sql."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from service.domain.audit import Action
from service.domain.errors import TooManyWebhooks, WebhookNotFound
from service.domain.page import NameCursor
from service.domain.schema import Document
from service.domain.webhook import (
    MAX_FAILURES,
    MAX_WEBHOOKS,
    Attempt,
    DisableReason,
    SealedWebhook,
    Webhook,
    WebhookResponse,
    subscription_key,
)
from service.postgres.audit import insert_change
from service.postgres.pool import Connection
from service.postgres.sql import load, page_start

SAVED_SUFFIX = ".voicemail_saved"
"""End of the target of a delivery that is a second notification of an event to a webhook."""
_SQL = load("webhooks")


async def insert_webhook(
    connection: Connection,
    account_id: UUID,
    webhook_id: UUID,
    document: Document,
    secret: bytes,
    max_webhooks: int = MAX_WEBHOOKS,
) -> Webhook:
    """Creates a webhook with its encrypted secret. Raises TooManyWebhooks."""
    row = await _SQL["insert_webhook"].fetchrow(
        connection,
        account_id=account_id,
        webhook_id=webhook_id,
        **_document_values(document),
        secret=secret,
        max_webhooks=max_webhooks,
    )
    if row is None:
        raise TooManyWebhooks(max_webhooks)
    await insert_change(connection, account_id, Action.WEBHOOK_CREATED, webhook_id)
    return _to_webhook(row)


async def get_webhook(connection: Connection, account_id: UUID, webhook_id: UUID) -> SealedWebhook:
    """Returns a webhook with its secret. Raises WebhookNotFound."""
    row = await _SQL["get_webhook"].fetchrow(
        connection, account_id=account_id, webhook_id=webhook_id
    )
    if row is None:
        raise WebhookNotFound(webhook_id.hex)
    return SealedWebhook(_to_webhook(row), row["secret"])


async def list_webhooks(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    descending: bool = False,
) -> list[Webhook]:
    """Returns the webhooks of an account by (name, id) from `start` on."""
    statement = _SQL["list_webhooks_descending" if descending else "list_webhooks"]
    rows = await statement.fetch(
        connection, account_id=account_id, **page_start(start, descending), limit=limit
    )
    return [_to_webhook(row) for row in rows]


async def update_webhook(
    connection: Connection, before: Webhook, document: Document
) -> Webhook | None:
    """Replaces the document of a webhook. Returns None when `before` is no longer its revision.

    Enabling it resets its failures and its disable reason.
    """
    row = await _SQL["update_webhook"].fetchrow(
        connection,
        account_id=before.account_id,
        webhook_id=before.webhook_id,
        revision=before.revision,
        **_document_values(document),
    )
    if row is None:
        return None
    await insert_change(connection, before.account_id, Action.WEBHOOK_UPDATED, before.webhook_id)
    return _to_webhook(row)


async def delete_webhook(connection: Connection, account_id: UUID, webhook_id: UUID) -> Webhook:
    """Deletes a webhook and returns it. Raises WebhookNotFound."""
    row = await _SQL["delete_webhook"].fetchrow(
        connection, account_id=account_id, webhook_id=webhook_id
    )
    if row is None:
        raise WebhookNotFound(webhook_id.hex)
    await insert_change(connection, account_id, Action.WEBHOOK_DELETED, webhook_id)
    return _to_webhook(row)


async def end_webhooks_of_account(connection: Connection, account_id: UUID) -> None:
    """Ends the webhooks of a deleted account. They still deliver its events until the deletion."""
    await _SQL["end_webhooks_of_account"].execute(connection, account_id=account_id)


async def list_subscribed_webhooks(
    connection: Connection, account_id: UUID, hooks: Sequence[str]
) -> list[tuple[UUID, str]]:
    """Returns the enabled webhooks of an account with one of these hooks, and their hook.

    A hook is the result of `subscription_key`.
    """
    rows = await _SQL["list_subscribed_webhooks"].fetch(
        connection, account_id=account_id, hooks=hooks
    )
    return [(row["webhook_id"], row["hook"]) for row in rows]


async def enable_disabled_webhooks(connection: Connection, account_id: UUID) -> None:
    """Enables the webhooks of an account that the service disabled."""
    rows = await _SQL["enable_disabled_webhooks"].fetch(connection, account_id=account_id)
    for row in rows:
        await insert_change(connection, account_id, Action.WEBHOOK_UPDATED, row["webhook_id"])


async def insert_attempt(connection: Connection, account_id: UUID, attempt: Attempt) -> None:
    """Records an attempt, unless the webhook was deleted."""
    await _SQL["insert_attempt"].execute(
        connection,
        account_id=account_id,
        webhook_id=attempt.webhook_id,
        attempt_id=attempt.attempt_id,
        event_id=attempt.event_id,
        event_type=attempt.event_type,
        attempt=attempt.number,
        attempted_at=attempt.attempted_at,
        response_code=attempt.response.response_code,
        error=attempt.response.error,
        duration_ms=attempt.response.duration_ms,
    )


async def list_attempts(
    connection: Connection,
    account_id: UUID,
    webhook_id: UUID,
    start: UUID | None,
    limit: int,
    *,
    ascending: bool = False,
) -> list[Attempt]:
    """Returns the attempts of a webhook from `start` on, newest first unless `ascending`."""
    statement = _SQL["list_attempts_ascending" if ascending else "list_attempts"]
    rows = await statement.fetch(
        connection, account_id=account_id, webhook_id=webhook_id, start_id=start, limit=limit
    )
    return [_to_attempt(row) for row in rows]


async def list_account_attempts(
    connection: Connection,
    account_id: UUID,
    start: UUID | None,
    limit: int,
    *,
    ascending: bool = False,
) -> list[Attempt]:
    """Returns the attempts of all webhooks of an account, as `list_attempts`."""
    statement = _SQL["list_account_attempts_ascending" if ascending else "list_account_attempts"]
    rows = await statement.fetch(connection, account_id=account_id, start_id=start, limit=limit)
    return [_to_attempt(row) for row in rows]


async def reset_failures(connection: Connection, account_id: UUID, webhook_id: UUID) -> None:
    """Resets the failures in a row after a success."""
    await _SQL["reset_failures"].execute(connection, account_id=account_id, webhook_id=webhook_id)


async def record_failure(
    connection: Connection,
    account_id: UUID,
    webhook_id: UUID,
    reason: DisableReason | None = None,
) -> tuple[bool, DisableReason | None]:
    """Counts a failed attempt. Returns two values: the webhook is enabled, the new disable reason.

    With `reason`, this failure disables the webhook.
    """
    row = await _SQL["record_failure"].fetchrow(
        connection,
        account_id=account_id,
        webhook_id=webhook_id,
        max_failures=MAX_FAILURES,
        reason=reason,
    )
    if row is None:
        return False, None
    if not row["enabled"]:
        await insert_change(connection, account_id, Action.WEBHOOK_DISABLED, webhook_id)
    return row["enabled"], _disable_reason(row)


async def drop_pending(connection: Connection, account_id: UUID, webhook_id: UUID) -> int:
    """Drops the pending deliveries of a webhook. Returns their number."""
    return await _SQL["drop_pending"].execute(
        connection,
        account_id=account_id,
        targets=[webhook_id.hex, webhook_id.hex + SAVED_SUFFIX],
    )


async def delete_old_attempts(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes attempts older than `before`. Returns their number."""
    return await _SQL["delete_old_attempts"].execute(connection, before=before, limit=limit)


async def delete_ended_webhooks(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes webhooks of accounts that were deleted before `before`. Returns their number."""
    return await _SQL["delete_ended_webhooks"].execute(connection, before=before, limit=limit)


def _document_values(document: Document) -> dict[str, Any]:
    """Returns the columns of a document. `enabled` is stored only in its own column."""
    columns = {name: document[name] for name in ("name", "uri", "enabled")}
    columns["hook"] = subscription_key(document)
    rest = {key: value for key, value in document.items() if key != "enabled"}
    return {**columns, "document": rest}


def _to_webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(
        account_id=row["account_id"],
        webhook_id=row["webhook_id"],
        document={**row["document"], "enabled": row["enabled"]},
        disable_reason=_disable_reason(row),
        revision=row["revision"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _disable_reason(row: asyncpg.Record) -> DisableReason | None:
    reason = row["disable_reason"]
    return None if reason is None else DisableReason(reason)


def _to_attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(
        webhook_id=row["webhook_id"],
        attempt_id=row["attempt_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        number=row["attempt"],
        attempted_at=row["attempted_at"],
        response=WebhookResponse(
            response_code=row["response_code"],
            error=row["error"],
            duration_ms=row["duration_ms"],
        ),
    )
