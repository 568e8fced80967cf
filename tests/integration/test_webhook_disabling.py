"""Webhooks that fail, go or are changed while something waits for them."""

import asyncio
from typing import Any

import msgspec
import pytest

from service.domain.errors import WebhookNotFound
from service.domain.webhook import MAX_FAILURES, DisableReason
from service.postgres.pool import Database
from service.usecases.webhook_sender import WebhookSender
from service.workers.channels.webhook import WebhookChannel
from tests.support.hooks import (
    attempts_of,
    facts_of,
    failures_of,
    has_failed,
    now_of,
    use_cases,
)
from tests.support.notifier import QUICK, Stage, rows_of, settled, some_event
from tests.support.relay import eventually
from tests.support.sink import Sink, a_webhook

PATIENT = msgspec.structs.replace(QUICK, retries_s=(60,))


async def test_fifty_failures_in_a_row_disable_a_webhook_and_drop_what_waits(
    stage: Stage, database: Database, posts: WebhookSender, channel: WebhookChannel, sink: Sink
) -> None:
    webhook, _ = await a_webhook(database, posts, sink.url())
    well, _ = await a_webhook(database, posts, sink.url("/well"), account_id=webhook.account_id)
    await has_failed(stage.inspector, webhook, MAX_FAILURES - 8)
    sink.acts["/hook"] = sink.status(500)
    await stage.events.publish(*(some_event(webhook.account_id) for _ in range(20)))
    async with stage.running(channel, PATIENT):
        found = await settled(stage.inspector, 40, channel="webhook")
        disabled = await now_of(database, webhook)
        await stage.events.publish(some_event(webhook.account_id))
        await settled(stage.inspector, 41, channel="webhook")
    assert (disabled.enabled, disabled.disable_reason) == (False, DisableReason.FAILURES)
    assert disabled.revision == webhook.revision + 1
    of_it = [row for row in found if row["target"] == webhook.webhook_id.hex]
    assert {row["status"] for row in of_it} <= {"dropped", "ignored"}
    # Some were on their way when the last failure was noted.
    assert 8 <= len(sink.to("/hook")) < 8 + channel.per_target
    assert len(sink.to("/well")) == 21
    assert (await now_of(database, well)).enabled


async def test_a_webhook_that_is_enabled_again_begins_anew(
    stage: Stage, database: Database, posts: WebhookSender, channel: WebhookChannel, sink: Sink
) -> None:
    webhook, _ = await a_webhook(database, posts, sink.url())
    await has_failed(stage.inspector, webhook, MAX_FAILURES - 1)
    sink.acts["/hook"] = sink.status(500)
    await stage.events.publish(some_event(webhook.account_id))
    changed = use_cases(database, posts)
    account = facts_of(webhook)
    async with stage.running(channel, PATIENT):
        await settled(stage.inspector, 1, channel="webhook")
        renamed = await changed.patch(account, webhook.webhook_id, {"name": "Other"})
        assert (renamed.enabled, renamed.disable_reason) == (False, DisableReason.FAILURES)
        again = await changed.patch(account, webhook.webhook_id, {"enabled": True})
        assert (again.enabled, again.disable_reason) == (True, None)
        assert await failures_of(stage.inspector, webhook) == 0
        sink.acts["/hook"] = sink.status(200)
        await stage.events.publish(some_event(webhook.account_id))
        await settled(stage.inspector, 2, channel="webhook")
    assert len(sink.received) == 2


async def test_another_address_counts_for_what_waits_and_has_not_failed_yet(
    stage: Stage, database: Database, posts: WebhookSender, channel: WebhookChannel, sink: Sink
) -> None:
    webhook, secret = await a_webhook(database, posts, sink.url())
    sink.acts["/hook"] = sink.status(500)
    await stage.events.publish(some_event(webhook.account_id))
    async with stage.running(channel, PATIENT):

        async def has_failed_once() -> bool:
            return await failures_of(stage.inspector, webhook) == 1

        await eventually(has_failed_once)
        await use_cases(database, posts).patch(
            facts_of(webhook), webhook.webhook_id, {"uri": sink.url("/new")}
        )
        assert await failures_of(stage.inspector, webhook) == 0
        await stage.inspector.execute("UPDATE deliveries SET next_at = now()")
        await settled(stage.inspector, 1, channel="webhook")
    [one] = sink.to("/new")
    one.verify(secret)


async def test_a_target_that_is_gone_disables_its_webhook_at_once(
    stage: Stage, database: Database, posts: WebhookSender, channel: WebhookChannel, sink: Sink
) -> None:
    webhook, _ = await a_webhook(database, posts, sink.url())
    sink.acts["/hook"] = sink.status(410)
    event = some_event(webhook.account_id)
    await stage.events.publish(event)
    async with stage.running(channel, PATIENT):
        [row] = await settled(stage.inspector, 1, channel="webhook")
    assert (row["status"], row["last_error"]) == ("dead", "it answered 410")
    disabled = await now_of(database, webhook)
    assert (disabled.enabled, disabled.disable_reason) == (False, DisableReason.GONE)
    assert await attempts_of(database, posts, webhook) == [
        (event.event_id, 1, 410, "it answered 410")
    ]


@pytest.mark.parametrize("end", ["deleted", "disabled"])
async def test_what_waits_for_a_webhook_goes_with_it(
    end: str,
    stage: Stage,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    sink: Sink,
) -> None:
    webhook, _ = await a_webhook(database, posts, sink.url())
    stays, _ = await a_webhook(database, posts, sink.url("/stays"), account_id=webhook.account_id)
    sink.acts["/hook"] = sink.acts["/stays"] = sink.status(500)
    await stage.events.publish(some_event(webhook.account_id))
    asked, account = use_cases(database, posts), facts_of(webhook)
    async with stage.running(channel, PATIENT):

        async def both_wait() -> bool:
            found = await rows_of(stage.inspector, "webhook")
            return [row["attempt"] for row in found] == [1, 1]

        await eventually(both_wait)
        if end == "deleted":
            await asked.delete(account, webhook.webhook_id)
        else:
            await asked.patch(account, webhook.webhook_id, {"enabled": False})
    found = await rows_of(stage.inspector, "webhook")
    assert {row["target"]: row["status"] for row in found} == {
        webhook.webhook_id.hex: "dropped",
        stays.webhook_id.hex: "pending",
    }


async def test_a_webhook_that_goes_while_it_is_told_is_not_told_again(
    stage: Stage, database: Database, posts: WebhookSender, channel: WebhookChannel, sink: Sink
) -> None:
    webhook, _ = await a_webhook(database, posts, sink.url())
    deleted = asyncio.Event()

    async def fail_later(_request: Any) -> Any:
        await deleted.wait()
        return await sink.status(500)(_request)

    sink.acts["/hook"] = fail_later
    await stage.events.publish(some_event(webhook.account_id))
    async with stage.running(channel):

        async def is_being_told() -> bool:
            return len(sink.received) == 1

        await eventually(is_being_told)
        await use_cases(database, posts).delete(facts_of(webhook), webhook.webhook_id)
        deleted.set()
        [row] = await settled(stage.inspector, 1, channel="webhook")
    assert row["status"] == "dropped"
    assert len(sink.received) == 1
    with pytest.raises(WebhookNotFound):
        await now_of(database, webhook)


async def test_what_is_taken_while_its_webhook_is_disabled_was_told(
    stage: Stage, database: Database, posts: WebhookSender, channel: WebhookChannel, sink: Sink
) -> None:
    webhook, _ = await a_webhook(database, posts, sink.url())
    disabled = asyncio.Event()

    async def take_later(_request: Any) -> Any:
        await disabled.wait()
        return await sink.status(200)(_request)

    sink.acts["/hook"] = take_later
    event = some_event(webhook.account_id)
    await stage.events.publish(event)
    async with stage.running(channel):

        async def is_being_told() -> bool:
            return len(sink.received) == 1

        await eventually(is_being_told)
        await use_cases(database, posts).patch(
            facts_of(webhook), webhook.webhook_id, {"enabled": False}
        )
        disabled.set()
        [row] = await settled(stage.inspector, 1, channel="webhook")
    assert row["status"] == "done"
    assert await attempts_of(database, posts, webhook) == [(event.event_id, 1, 200, None)]
