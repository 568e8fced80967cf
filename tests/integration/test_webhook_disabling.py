"""Webhooks that fail, are deleted or are changed with pending deliveries."""

import asyncio
from typing import Any

import msgspec
import pytest

from service.domain.errors import WebhookNotFound
from service.domain.webhook import MAX_FAILURES, DisableReason
from service.postgres.pool import Database
from service.usecases.webhook_sender import WebhookSender
from service.workers.channels.webhook import WebhookChannel
from tests.support.notifier import QUICK, NotifierHarness, rows_of, settled, some_event
from tests.support.waiting import wait_until
from tests.support.webhook_harness import (
    attempts_of,
    facts_of,
    failures_of,
    has_failed,
    now_of,
    use_cases,
)
from tests.support.webhook_receiver import WebhookReceiver, a_webhook

PATIENT = msgspec.structs.replace(QUICK, retries_s=(60,))


async def test_fifty_failures_in_a_row_disable_a_webhook_and_drop_its_deliveries(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    well, _ = await a_webhook(database, posts, receiver.url("/well"), account_id=webhook.account_id)
    await has_failed(harness.inspector, webhook, MAX_FAILURES - 8)
    receiver.acts["/hook"] = receiver.status(500)
    await harness.events.publish(*(some_event(webhook.account_id) for _ in range(20)))
    async with harness.running(channel, PATIENT):
        rows = await settled(harness.inspector, 40, channel="webhook")
        disabled = await now_of(database, webhook)
        await harness.events.publish(some_event(webhook.account_id))
        await settled(harness.inspector, 41, channel="webhook")
    assert (disabled.enabled, disabled.disable_reason) == (False, DisableReason.FAILURES)
    assert disabled.revision == webhook.revision + 1
    of_it = [row for row in rows if row["target"] == webhook.webhook_id.hex]
    assert {row["status"] for row in of_it} <= {"dropped", "ignored"}
    # Some were on their way when the last failure was noted.
    assert 8 <= len(receiver.to("/hook")) < 8 + channel.per_target
    assert len(receiver.to("/well")) == 21
    assert (await now_of(database, well)).enabled


async def test_an_enabled_webhook_counts_failures_from_zero(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    await has_failed(harness.inspector, webhook, MAX_FAILURES - 1)
    receiver.acts["/hook"] = receiver.status(500)
    await harness.events.publish(some_event(webhook.account_id))
    changed = use_cases(database, posts)
    account = facts_of(webhook)
    async with harness.running(channel, PATIENT):
        await settled(harness.inspector, 1, channel="webhook")
        renamed = await changed.patch(account, webhook.webhook_id, {"name": "Other"})
        assert (renamed.enabled, renamed.disable_reason) == (False, DisableReason.FAILURES)
        again = await changed.patch(account, webhook.webhook_id, {"enabled": True})
        assert (again.enabled, again.disable_reason) == (True, None)
        assert await failures_of(harness.inspector, webhook) == 0
        receiver.acts["/hook"] = receiver.status(200)
        await harness.events.publish(some_event(webhook.account_id))
        await settled(harness.inspector, 2, channel="webhook")
    assert len(receiver.received) == 2


async def test_a_changed_url_applies_to_pending_deliveries(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, secret = await a_webhook(database, posts, receiver.url())
    receiver.acts["/hook"] = receiver.status(500)
    await harness.events.publish(some_event(webhook.account_id))
    async with harness.running(channel, PATIENT):

        async def has_failed_once() -> bool:
            return await failures_of(harness.inspector, webhook) == 1

        await wait_until(has_failed_once)
        await use_cases(database, posts).patch(
            facts_of(webhook), webhook.webhook_id, {"uri": receiver.url("/new")}
        )
        assert await failures_of(harness.inspector, webhook) == 0
        await harness.inspector.execute("UPDATE deliveries SET next_at = now()")
        await settled(harness.inspector, 1, channel="webhook")
    [request] = receiver.to("/new")
    request.verify(secret)


async def test_an_answer_410_disables_the_webhook_at_once(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    receiver.acts["/hook"] = receiver.status(410)
    event = some_event(webhook.account_id)
    await harness.events.publish(event)
    async with harness.running(channel, PATIENT):
        [row] = await settled(harness.inspector, 1, channel="webhook")
    assert (row["status"], row["last_error"]) == ("dead", "response status 410")
    disabled = await now_of(database, webhook)
    assert (disabled.enabled, disabled.disable_reason) == (False, DisableReason.GONE)
    assert await attempts_of(database, posts, webhook) == [
        (event.event_id, 1, 410, "response status 410")
    ]


@pytest.mark.parametrize("end", ["deleted", "disabled"])
async def test_pending_deliveries_are_deleted_with_their_webhook(
    end: str,
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    stays, _ = await a_webhook(
        database, posts, receiver.url("/stays"), account_id=webhook.account_id
    )
    receiver.acts["/hook"] = receiver.acts["/stays"] = receiver.status(500)
    await harness.events.publish(some_event(webhook.account_id))
    webhooks, account = use_cases(database, posts), facts_of(webhook)
    async with harness.running(channel, PATIENT):

        async def both_wait() -> bool:
            rows = await rows_of(harness.inspector, "webhook")
            return [row["attempt"] for row in rows] == [1, 1]

        await wait_until(both_wait)
        if end == "deleted":
            await webhooks.delete(account, webhook.webhook_id)
        else:
            await webhooks.patch(account, webhook.webhook_id, {"enabled": False})
    rows = await rows_of(harness.inspector, "webhook")
    assert {row["target"]: row["status"] for row in rows} == {
        webhook.webhook_id.hex: "dropped",
        stays.webhook_id.hex: "pending",
    }


async def test_a_webhook_deleted_during_a_delivery_gets_no_retry(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    deleted = asyncio.Event()

    async def fail_later(_request: Any) -> Any:
        await deleted.wait()
        return await receiver.status(500)(_request)

    receiver.acts["/hook"] = fail_later
    await harness.events.publish(some_event(webhook.account_id))
    async with harness.running(channel):

        async def is_delivering() -> bool:
            return len(receiver.received) == 1

        await wait_until(is_delivering)
        await use_cases(database, posts).delete(facts_of(webhook), webhook.webhook_id)
        deleted.set()
        [row] = await settled(harness.inspector, 1, channel="webhook")
    assert row["status"] == "dropped"
    assert len(receiver.received) == 1
    with pytest.raises(WebhookNotFound):
        await now_of(database, webhook)


async def test_a_delivery_accepted_while_its_webhook_is_disabled_is_done(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    disabled = asyncio.Event()

    async def take_later(_request: Any) -> Any:
        await disabled.wait()
        return await receiver.status(200)(_request)

    receiver.acts["/hook"] = take_later
    event = some_event(webhook.account_id)
    await harness.events.publish(event)
    async with harness.running(channel):

        async def is_delivering() -> bool:
            return len(receiver.received) == 1

        await wait_until(is_delivering)
        await use_cases(database, posts).patch(
            facts_of(webhook), webhook.webhook_id, {"enabled": False}
        )
        disabled.set()
        [row] = await settled(harness.inspector, 1, channel="webhook")
    assert row["status"] == "done"
    assert await attempts_of(database, posts, webhook) == [(event.event_id, 1, 200, None)]
