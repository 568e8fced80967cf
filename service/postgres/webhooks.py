"""Webhooks and attempts: rows <-> domain; one function per statement of webhooks.sql."""

from datetime import datetime
from uuid import UUID

import asyncpg

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
)
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("webhooks")


async def insert_webhook(
    connection: Connection, account_id: UUID, webhook_id: UUID, document: Document, secret: bytes
) -> Webhook:
    """A new webhook with its sealed secret. Raises TooManyWebhooks."""
    name, uri, hook, enabled, rest = _columns(document)
    row = await connection.fetchrow(
        _SQL["insert_webhook"],
        account_id,
        webhook_id,
        name,
        uri,
        hook,
        enabled,
        secret,
        rest,
        MAX_WEBHOOKS,
    )
    if row is None:
        raise TooManyWebhooks(MAX_WEBHOOKS)
    return _to_webhook(row)


async def get_webhook(connection: Connection, account_id: UUID, webhook_id: UUID) -> SealedWebhook:
    """Raises WebhookNotFound."""
    row = await connection.fetchrow(_SQL["get_webhook"], account_id, webhook_id)
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
    """The webhooks of an account by (name, id) from `start` on."""
    if descending:
        key = (start.name, start.id) if start else (None, None)
        statement = _SQL["list_webhooks_descending"]
    else:
        key = (start.name, start.id) if start else ("", UUID(int=0))
        statement = _SQL["list_webhooks"]
    return [_to_webhook(row) for row in await connection.fetch(statement, account_id, *key, limit)]


async def update_webhook(
    connection: Connection, before: Webhook, document: Document
) -> Webhook | None:
    """Replaces the document of a webhook as it was read; None when it was changed since.

    Its failures and why it was disabled are forgotten when it is enabled by this.
    """
    key = (before.account_id, before.webhook_id, before.revision)
    row = await connection.fetchrow(_SQL["update_webhook"], *key, *_columns(document))
    return None if row is None else _to_webhook(row)


async def delete_webhook(connection: Connection, account_id: UUID, webhook_id: UUID) -> Webhook:
    """Deletes a webhook; returns it as it was. Raises WebhookNotFound."""
    row = await connection.fetchrow(_SQL["delete_webhook"], account_id, webhook_id)
    if row is None:
        raise WebhookNotFound(webhook_id.hex)
    return _to_webhook(row)


async def end_webhooks_of_account(connection: Connection, account_id: UUID) -> None:
    """What happened until the account ended, its end too, is still told; then they are deleted."""
    await connection.execute(_SQL["end_webhooks_of_account"], account_id)


async def subscribed(connection: Connection, account_id: UUID, event_type: str) -> list[UUID]:
    """The enabled webhooks of an account that want an event of this type."""
    rows = await connection.fetch(_SQL["subscribed"], account_id, event_type)
    return [row["webhook_id"] for row in rows]


async def insert_attempt(
    connection: Connection, account_id: UUID, webhook_id: UUID, attempt: Attempt
) -> None:
    """Notes an attempt; nothing when the webhook is gone."""
    await connection.execute(
        _SQL["insert_attempt"],
        account_id,
        webhook_id,
        attempt.attempt_id,
        attempt.event_id,
        attempt.event_type,
        attempt.number,
        attempt.attempted_at,
        attempt.response.response_code,
        attempt.response.error,
        attempt.response.duration_ms,
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
    """The attempts of a webhook from one on, the latest first unless `ascending`."""
    statement = _SQL["list_attempts_ascending" if ascending else "list_attempts"]
    rows = await connection.fetch(statement, account_id, webhook_id, start, limit)
    return [_to_attempt(row) for row in rows]


async def forget_failures(connection: Connection, account_id: UUID, webhook_id: UUID) -> None:
    await connection.execute(_SQL["forget_failures"], account_id, webhook_id)


async def note_failure(
    connection: Connection,
    account_id: UUID,
    webhook_id: UUID,
    reason: DisableReason | None = None,
) -> tuple[bool, DisableReason | None]:
    """Counts a failed attempt. Whether there is still an enabled webhook, and why this disabled it.

    With a reason the first failure disables it.
    """
    row = await connection.fetchrow(
        _SQL["note_failure"], account_id, webhook_id, MAX_FAILURES, reason
    )
    if row is None:
        return False, None
    return row["enabled"], _reason(row)


async def drop_waiting(connection: Connection, account_id: UUID, webhook_id: UUID) -> int:
    """Gives up deliveries that wait for a webhook; how many."""
    done = await connection.execute(_SQL["drop_waiting"], account_id, webhook_id.hex)
    return int(done.rpartition(" ")[2])


async def delete_old_attempts(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes attempts made before a moment; how many."""
    done = await connection.execute(_SQL["delete_old_attempts"], before, limit)
    return int(done.rpartition(" ")[2])


async def delete_ended_webhooks(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes webhooks of accounts that ended before a moment; how many."""
    done = await connection.execute(_SQL["delete_ended_webhooks"], before, limit)
    return int(done.rpartition(" ")[2])


def _columns(document: Document) -> tuple[str, str, str, bool, Document]:
    """What is queried, apart; `enabled` changes by itself too, so it has one place only."""
    rest = {key: value for key, value in document.items() if key != "enabled"}
    return document["name"], document["uri"], document["hook"], document["enabled"], rest


def _to_webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(
        account_id=row["account_id"],
        webhook_id=row["webhook_id"],
        document={**row["document"], "enabled": row["enabled"]},
        disable_reason=_reason(row),
        revision=row["revision"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _reason(row: asyncpg.Record) -> DisableReason | None:
    reason = row["disable_reason"]
    return None if reason is None else DisableReason(reason)


def _to_attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(
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
