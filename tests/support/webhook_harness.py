"""Webhooks, the webhook channel and a receiver of its requests."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest_asyncio

from service.domain.account import AccountFacts
from service.domain.events import Event
from service.domain.webhook import Webhook
from service.postgres import webhooks as rows
from service.postgres.pool import Database
from service.security import LOOPBACK, OutboundHttp, OutboundLimits, SecretBox
from service.usecases.webhook_sender import WebhookSender
from service.usecases.webhooks import Webhooks
from service.wiring.factories import lookup_slots
from service.workers.channels import Delivery
from service.workers.channels.webhook import WebhookChannel
from tests.support.accounts import a_key_ring
from tests.support.builders import an_account
from tests.support.notifier import some_event
from tests.support.webhook_receiver import WebhookReceiver

RING = a_key_ring()


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver().running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def posts() -> AsyncIterator[WebhookSender]:
    limits = OutboundLimits(private_networks=LOOPBACK, timeout_s=30)
    async with OutboundHttp.open(limits, lookup_slots(64)) as outward:
        yield posts_over(outward)


@pytest_asyncio.fixture(loop_scope="session")
async def channel(database: Database, posts: WebhookSender) -> WebhookChannel:
    return WebhookChannel(database, posts, concurrency=16)


def posts_over(outward: OutboundHttp) -> WebhookSender:
    return WebhookSender(
        secrets=SecretBox(RING), outbound_http=outward, clock=lambda: datetime.now(UTC)
    )


def message_id_of(event: Event, webhook: Webhook) -> str:
    """Returns the message id that every attempt to deliver an event to a webhook carries."""
    delivery = Delivery(
        account_id=event.account_id,
        event_id=event.event_id,
        channel="webhook",
        target=webhook.webhook_id.hex,
        attempt=1,
        created_at=event.created_at,
        event=event,
        state={},
    )
    return delivery.key.hex


def use_cases(database: Database, posts: WebhookSender) -> Webhooks:
    return Webhooks(database=database, sender=posts)


def facts_of(webhook: Webhook) -> AccountFacts:
    return an_account(account_id=webhook.account_id)


async def attempts_of(
    database: Database, posts: WebhookSender, webhook: Webhook
) -> list[tuple[UUID, int, int | None, str | None]]:
    """Returns event, number, status and error of each attempt, oldest first."""
    page = await use_cases(database, posts).attempts(
        facts_of(webhook), webhook.webhook_id, None, 100, ascending=True
    )
    return [
        (item.event_id, item.number, item.response.response_code, item.response.error)
        for item in page.items
    ]


async def now_of(database: Database, webhook: Webhook) -> Webhook:
    async with database.connection() as connection:
        return (await rows.get_webhook(connection, webhook.account_id, webhook.webhook_id)).webhook


async def has_failed(inspector: asyncpg.Connection, webhook: Webhook, times: int) -> None:
    await inspector.execute(
        "UPDATE webhooks SET failures = $1 WHERE webhook_id = $2", times, webhook.webhook_id
    )


async def failures_of(inspector: asyncpg.Connection, webhook: Webhook) -> int:
    count: int = await inspector.fetchval(
        "SELECT failures FROM webhooks WHERE webhook_id = $1", webhook.webhook_id
    )
    return count


def a_vmbox_event(account_id: UUID, name: str = "Box", **changes: Any) -> Event:
    """An event with valid data."""
    vmbox_id = uuid4()
    data = {
        "account_id": account_id.hex,
        "vmbox_id": vmbox_id.hex,
        "mailbox": "100",
        "epoch": 1,
        "sequence": 42,
        "counts": {"new": 1, "saved": 0},
        "vmbox": {"name": name},
    }
    event = some_event(account_id, type="vmbox.updated", data=msgspec.json.encode(data), **changes)
    return msgspec.structs.replace(event, vmbox_id=vmbox_id)
