"""Webhook channel: targets, retries and IDs."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from service.domain.errors import Invalid, WebhookNotFound
from service.domain.events import NO_VMBOX
from service.domain.webhook import MAX_FAILURES, Webhook
from service.postgres import webhooks as rows
from service.postgres.pool import Database
from service.security import OutboundHttp, OutboundLimits
from service.usecases.webhook_sender import WebhookSender
from service.workers.channels.webhook import WebhookChannel
from tests.support.accounts import a_child, a_root, accounts_over
from tests.support.builders import an_account
from tests.support.notifier import QUICK, NotifierHarness, settled, some_event
from tests.support.waiting import wait_until
from tests.support.webhook_harness import (
    RING,
    a_vmbox_event,
    attempts_of,
    facts_of,
    failures_of,
    has_failed,
    message_id_of,
    now_of,
    posts_over,
    use_cases,
)
from tests.support.webhook_receiver import WebhookReceiver, a_webhook

ONE_TRY = msgspec.structs.replace(QUICK, retries_s=())


async def test_an_event_is_sent_once_to_each_matching_webhook(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    account_id = uuid4()
    wanting: dict[str, tuple[Webhook, str]] = {}
    for path, hook in (("/all", "all"), ("/same", "vmbox.updated")):
        wanting[path] = await a_webhook(
            database, posts, receiver.url(path), account_id=account_id, hook=hook
        )
    others: list[dict[str, Any]] = [
        {"account_id": account_id, "hook": "message.new"},
        {"account_id": account_id, "enabled": False},
        {"account_id": uuid4()},
    ]
    for settings in others:
        await a_webhook(database, posts, receiver.url("/other"), **settings)
    event = a_vmbox_event(account_id)
    await harness.events.publish(event)
    async with harness.running(channel):
        result = await settled(harness.inspector, 2, channel="webhook")
    assert {row["status"] for row in result} == {"done"}
    assert sorted(request.path for request in receiver.received) == ["/all", "/same"]
    for path, (webhook, secret) in wanting.items():
        [request] = receiver.to(path)
        request.verify(secret)
        assert request.headers["content-type"] == "application/cloudevents+json"
        assert request.headers["webhook-id"] == message_id_of(event, webhook)
        assert request.event["id"] == str(event.event_id)
        assert await attempts_of(database, posts, webhook) == [(event.event_id, 1, 200, None)]
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 2


async def test_the_request_is_a_cloudevent_with_the_custom_data_of_the_webhook(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    custom = {"team": 'blue "é"', "n": "1"}
    webhook, secret = await a_webhook(database, posts, receiver.url(), custom_data=custom)
    name = 'José "Ñ" <b>\r\nX-Evil: 1\u202e'
    event = a_vmbox_event(webhook.account_id, name=name, traceparent="00-aa-bb-01")
    await harness.events.publish(event)
    async with harness.running(channel):
        await settled(harness.inspector, 1, channel="webhook")
    [request] = receiver.received
    request.verify(secret)
    assert "x-evil" not in request.headers
    attributes = request.event
    data = attributes.pop("data")
    assert data == msgspec.json.decode(event.data)
    assert data["vmbox"]["name"] == name
    assert msgspec.json.decode(attributes.pop("customdata")) == custom
    assert attributes == {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": f"/accounts/{event.account_id.hex}/vmboxes/{event.vmbox_id.hex}",
        "type": "voicemail.vmbox.updated",
        "time": "2026-03-01T12:30:00.500000Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000042",
        "traceparent": "00-aa-bb-01",
    }


async def test_a_failed_attempt_is_retried_with_the_same_id_until_it_succeeds(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, secret = await a_webhook(database, posts, receiver.url())
    receiver.acts["/hook"] = receiver.status(500, 302, 204)
    event = some_event(webhook.account_id)
    await has_failed(harness.inspector, webhook, MAX_FAILURES - 3)
    await harness.events.publish(event)
    async with harness.running(channel):
        [row] = await settled(harness.inspector, 1, channel="webhook")
    assert (row["status"], row["attempt"]) == ("done", 3)
    assert len(receiver.received) == 3
    assert {request.headers["webhook-id"] for request in receiver.received} == {
        message_id_of(event, webhook)
    }
    assert len({request.body for request in receiver.received}) == 1
    for request in receiver.received:
        request.verify(secret)
    assert await attempts_of(database, posts, webhook) == [
        (event.event_id, 1, 500, "response status 500"),
        (event.event_id, 2, 302, "response status 302; redirects are not followed"),
        (event.event_id, 3, 204, None),
    ]
    assert await failures_of(harness.inspector, webhook) == 0
    assert (await now_of(database, webhook)).enabled


async def test_a_replayed_event_is_not_sent_again(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    events = [some_event(webhook.account_id) for _ in range(5)]
    await harness.events.publish(*events)
    async with harness.running(channel):
        await settled(harness.inspector, 5, channel="webhook")
    await a_webhook(database, posts, receiver.url("/late"), account_id=webhook.account_id)
    await harness.events.replay("notifier-webhook")
    async with harness.running(channel):
        await wait_until(lambda: harness.has_unacked(0, "notifier-webhook"))
    assert len(receiver.received) == 5
    assert len(await attempts_of(database, posts, webhook)) == 5


async def test_deliveries_of_a_killed_process_are_repeated_under_the_same_id(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    receiver.acts["/hook"] = receiver.stall
    await harness.events.publish(some_event(webhook.account_id))

    async def is_delivering() -> bool:
        return len(receiver.received) == 1

    async with harness.running(channel) as running:
        await wait_until(is_delivering)
        await running.kill()
    receiver.acts["/hook"] = receiver.status(200)
    await harness.inspector.execute("UPDATE deliveries SET next_at = now(), lease_until = now()")
    async with harness.running(channel):
        await settled(harness.inspector, 1, channel="webhook")
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_a_target_that_does_not_respond_delays_no_other_target_or_account(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    down, _ = await a_webhook(database, posts, receiver.url("/down"))
    account_id = down.account_id
    await a_webhook(database, posts, receiver.url("/beside"), account_id=account_id)
    other, _ = await a_webhook(database, posts, receiver.url("/other"))
    receiver.acts["/down"] = receiver.stall
    await harness.events.publish(*(some_event(account_id) for _ in range(30)))
    await harness.events.publish(*(some_event(other.account_id) for _ in range(10)))

    async def others_are_done() -> bool:
        return (len(receiver.to("/beside")), len(receiver.to("/other"))) == (30, 10)

    # Those that do not answer would take 30 s each.
    async with harness.running(channel) as running:
        await wait_until(others_are_done)
        assert 1 <= len(receiver.to("/down")) <= channel.per_target
        await running.kill()


async def test_a_deleted_account_gets_a_last_event_and_leaves_nothing(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    accounts = accounts_over(database, RING)
    caller = await a_root(accounts)
    child = await a_child(accounts, caller, "below")
    uri = receiver.url()
    document = {"name": "End", "uri": uri, "hook": "account.deleted"}
    webhook, _ = await use_cases(database, posts).create(child.facts, document)
    await accounts.delete(caller, child.account_id)
    ids = {"account_id": child.account_id.hex, "epoch": 1, "sequence": 1}
    event = msgspec.structs.replace(
        some_event(child.account_id, type="account.deleted", data=msgspec.json.encode(ids)),
        vmbox_id=NO_VMBOX,
    )
    await harness.events.publish(event)
    async with harness.running(channel):
        await settled(harness.inspector, 1, channel="webhook")
    assert [request.event["type"] for request in receiver.received] == ["voicemail.account.deleted"]
    async with database.connection() as connection:
        now = datetime.now(UTC)
        assert await rows.delete_ended_webhooks(connection, now - timedelta(days=1), 10) == 0
        later = now + timedelta(days=1)
        assert await rows.delete_ended_webhooks(connection, later, 10) == 1
        assert await rows.delete_old_attempts(connection, now - timedelta(days=1), 10) == 0
        assert await rows.delete_old_attempts(connection, later, 10) == 1
    with pytest.raises(WebhookNotFound):
        await now_of(database, webhook)


async def test_an_account_cannot_see_webhooks_or_attempts_of_another(
    database: Database, posts: WebhookSender, receiver: WebhookReceiver
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url())
    webhooks, other = use_cases(database, posts), an_account()
    assert (await webhooks.list(other, None, 10)).items == []
    for question in (
        webhooks.get(other, webhook.webhook_id),
        webhooks.patch(other, webhook.webhook_id, {"enabled": False}),
        webhooks.delete(other, webhook.webhook_id),
        webhooks.attempts(other, webhook.webhook_id, None, 10),
        webhooks.ping(other, webhook.webhook_id),
    ):
        with pytest.raises(WebhookNotFound):
            await question
    assert receiver.received == []
    assert await now_of(database, webhook) == webhook


async def test_a_url_is_resolved_only_when_it_is_set_or_changed(
    database: Database, receiver: WebhookReceiver
) -> None:
    requested: list[str] = []

    async def look_up(host: str, _port: int, _owner: object) -> list[str]:
        requested.append(host)
        return ["10.0.0.1"] if host.startswith("inner") else ["93.184.215.14"]

    posts = posts_over(OutboundHttp(OutboundLimits(), look_up))
    webhook, _ = await a_webhook(database, posts, "https://outer.example/")
    webhooks, account = use_cases(database, posts), facts_of(webhook)
    await webhooks.patch(account, webhook.webhook_id, {"name": "Other"})
    assert requested == []
    await webhooks.patch(account, webhook.webhook_id, {"uri": "https://outer.example/2"})
    with pytest.raises(Invalid) as refused:
        await webhooks.patch(
            account, webhook.webhook_id, {"uri": "https://inner.example/", "hook": "none"}
        )
    assert {(problem.field, problem.rule.value) for problem in refused.value.problems} == {
        ("uri", "forbidden_target"),
        ("hook", "enum"),
    }
    assert requested == ["outer.example", "inner.example"]
    assert (await now_of(database, webhook)).uri == "https://outer.example/2"
    assert receiver.received == []


async def test_neither_secrets_nor_addresses_are_stored_in_clear_or_logged(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = "/hook/token-in-the-path"
    webhook, secret = await a_webhook(database, posts, receiver.url(path))
    await has_failed(harness.inspector, webhook, MAX_FAILURES - 1)
    receiver.acts[path] = receiver.hang_up
    await harness.events.publish(a_vmbox_event(webhook.account_id, name="Bob's box"))
    async with harness.running(channel, ONE_TRY):
        [row] = await settled(harness.inspector, 1, channel="webhook")
    logged = caplog.text
    assert "webhook disabled" in logged
    kept = row["last_error"] + str(row["state"])
    for hidden in (secret, "token-in-the-path", f":{receiver.port}", "Bob's box"):
        assert hidden not in logged
        assert hidden not in kept
    stored: bytes = await harness.inspector.fetchval("SELECT secret FROM webhooks")
    assert secret.encode() not in stored
