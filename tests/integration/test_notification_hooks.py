"""Hooks `notifications` and `object`: selection by modifiers, requests, and two notifications."""

from collections import Counter
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import msgspec

from service.api.description.event_examples import example_of
from service.domain.events import Event, EventType
from service.postgres.pool import Database
from service.usecases.webhook_sender import WebhookSender
from service.workers.channels.notifications import notifications_of
from service.workers.channels.webhook import WebhookChannel
from tests.support.builders import a_vmbox
from tests.support.notifier import QUICK, NotifierHarness, settled
from tests.support.waiting import wait_until
from tests.support.webhook_harness import facts_of, use_cases
from tests.support.webhook_receiver import Received, WebhookReceiver, a_webhook

SUBSCRIPTIONS: dict[str, dict[str, Any]] = {
    "/every": {"hook": "notifications"},
    "/new": {
        "hook": "notifications",
        "custom_data": {"type": "voicemail_new", "team": "blue é&"},
        "format": "json",
    },
    "/saved": {"hook": "notifications", "type": "voicemail_saved"},
    "/full": {"hook": "notifications", "type": "voicemail_full"},
    "/message": {
        "hook": "object",
        "custom_data": {"type": "mailbox_message", "action": "doc_created"},
        "format": "json",
    },
    "/box": {"hook": "object", "type": "vmbox"},
    "/edited": {"hook": "object", "action": "doc_edited"},
    "/cloudevent": {"hook": "voicemail.message.new"},
}


async def a_message_new(database: Database, account_id: UUID, **settings: Any) -> Event:
    async with database.transaction() as connection:
        box = await a_vmbox(connection, account_id, **settings)
    return an_event("message.new", account_id, box.vmbox_id)


def an_event(kind: str, account_id: UUID, vmbox_id: UUID) -> Event:
    example = example_of(EventType(kind))
    data = msgspec.json.decode(example.data)
    data |= {"account_id": account_id.hex, "vmbox_id": vmbox_id.hex}
    return msgspec.structs.replace(
        example,
        account_id=account_id,
        vmbox_id=vmbox_id,
        event_id=uuid4(),
        data=msgspec.json.encode(data),
    )


def fields_of(request: Received) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


async def test_each_notification_is_sent_to_the_webhooks_that_select_it(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    account_id = uuid4()
    hooks = {
        path: await a_webhook(
            database, posts, receiver.url(path), account_id=account_id, **settings
        )
        for path, settings in SUBSCRIPTIONS.items()
    }
    stays = await a_message_new(database, account_id)
    moves = await a_message_new(database, account_id, save_after_notify=True)
    full = an_event("vmbox.full", account_id, stays.vmbox_id)
    await harness.events.publish(stays, moves, full)
    async with harness.running(channel):
        result = await settled(harness.inspector, 12, channel="webhook")
    assert {row["status"] for row in result} == {"done"}
    assert Counter(request.path for request in receiver.received) == {
        "/every": 4,
        "/new": 2,
        "/saved": 1,
        "/full": 1,
        "/message": 2,
        "/cloudevent": 2,
    }
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert len(set(ids)) == len(ids)
    for request in receiver.received:
        webhook, secret = hooks[request.path]
        request.verify(secret)
        if request.path != "/cloudevent":
            assert request.headers["x-hook-id"] == webhook.webhook_id.hex
            assert request.headers["x-account-id"] == account_id.hex

    names = Counter(fields_of(request)["event_name"] for request in receiver.to("/every"))
    assert names == {"voicemail_new": 2, "voicemail_saved": 1, "voicemail_full": 1}
    [saved] = receiver.to("/saved")
    assert saved.headers["content-type"] == "application/x-www-form-urlencoded"
    expected = notifications_of(stays)["notifications.voicemail_saved"]
    assert fields_of(saved) == {key: str(value) for key, value in expected.items()}
    for request in receiver.to("/new"):
        assert request.headers["content-type"] == "application/json"
        assert request.event["event_name"] == request.event["type"] == "voicemail_new"
        assert request.event["team"] == "blue é&"
    for request in receiver.to("/message"):
        assert request.event == {
            "id": stays.media_id,
            "account_id": account_id.hex,
            "action": "doc_created",
            "type": "mailbox_message",
        }
    assert {request.event["type"] for request in receiver.to("/cloudevent")} == {
        "voicemail.message.new"
    }


async def test_disabling_a_webhook_drops_both_notifications_of_an_event(
    harness: NotifierHarness,
    database: Database,
    posts: WebhookSender,
    channel: WebhookChannel,
    receiver: WebhookReceiver,
) -> None:
    webhook, _ = await a_webhook(database, posts, receiver.url(), hook="notifications")
    receiver.acts["/hook"] = receiver.status(500)
    await harness.events.publish(await a_message_new(database, webhook.account_id))

    async def have_failed() -> bool:
        count = await harness.inspector.fetchval(
            "SELECT count(*) FROM deliveries WHERE attempt > 0 AND lease_until IS NULL"
        )
        return bool(count == 2)

    async with harness.running(channel, msgspec.structs.replace(QUICK, retries_s=(3600,))):
        await wait_until(have_failed)
    changes = {"enabled": False}
    await use_cases(database, posts).patch(facts_of(webhook), webhook.webhook_id, changes)
    rows = await settled(harness.inspector, 2, channel="webhook")
    assert [row["status"] for row in rows] == ["dropped", "dropped"]
