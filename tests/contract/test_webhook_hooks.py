"""Hooks and modifiers of webhooks, in the vocabulary of this service and in that of KAZOO."""

from typing import Any

import httpx
import pytest

from service.domain.events import EventType
from service.domain.notification_hooks import NotificationType
from tests.contract.webhooks import URI, a_webhook, rules
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.webhook_receiver import WebhookReceiver


async def test_the_hooks_are_listed_without_a_token(service: RunningService) -> None:
    async with httpx.AsyncClient() as visitor:
        listed = await visitor.get(f"{service.url}/v2/webhooks")
        await assert_methods(visitor, f"{service.url}/v2/webhooks")
    rows = {row.pop("id"): row for row in listed.json()["data"]}
    assert rows.keys() == {"notifications", "object", *EventType}
    assert all(row["name"] and row["description"] for row in rows.values())
    modifiers = rows["notifications"]["modifiers"]
    assert list(modifiers) == ["type"]
    assert modifiers["type"]["type"] == "object"
    assert modifiers["type"]["items"].keys() == {"all", *NotificationType}
    assert all(item["friendly_name"] for item in modifiers["type"]["items"].values())
    modifiers = rows["object"]["modifiers"]
    assert modifiers["type"]["items"] == ["all", "vmbox", "mailbox_message"]
    assert modifiers["action"]["items"] == ["all", "doc_created", "doc_edited", "doc_deleted"]
    assert "modifiers" not in rows["message.new"]


async def assert_methods(visitor: httpx.AsyncClient, url: str) -> None:
    assert (await visitor.head(url)).status_code == 200
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        assert (await visitor.request(method, url)).status_code == 405


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"hook": "voicemail.message.new"}, {}),
        ({"hook": "all", "type": "any", "action": "x", "http_verb": "get"}, {}),
        ({"hook": "message.new", "format": "form-data", "include_subaccounts": True}, {}),
        ({"hook": "notifications"}, {"format": "form-data"}),
        ({"hook": "notifications", "type": "voicemail_full", "format": "json"}, {}),
        (
            {"hook": "notifications", "custom_data": {"type": "voicemail_new", "team": "a"}},
            {"format": "form-data"},
        ),
        (
            {"hook": "object", "custom_data": {"type": "vmbox", "action": "all"}, "retries": 3},
            {"format": "form-data"},
        ),
        (
            {"hook": "object", "type": "vmbox", "action": "doc_edited", "http_verb": "post"},
            {"format": "form-data"},
        ),
    ],
)
async def test_hooks_of_both_vocabularies_are_kept_as_they_were_sent(
    settings: dict[str, Any], kept: dict[str, Any], account: AccountClient
) -> None:
    webhook = await a_webhook(account, **settings)
    stored = data_of(await account.http.get(account.path("webhooks", webhook["id"])))
    expected = {"id": webhook["id"], "name": "Tickets", "uri": URI, "enabled": True}
    assert stored == {**expected, **settings, **kept}
    [row] = data_of(await account.http.get(account.path("webhooks")))
    assert row["hook"] == settings["hook"]


@pytest.mark.parametrize(
    ("settings", "broken"),
    [
        ({"hook": "voicemail.message"}, {"hook": ["enum"]}),
        ({"hook": "notifications", "type": "missed_call"}, {"type": ["enum"]}),
        ({"hook": "notifications", "type": "vmbox"}, {"type": ["enum"]}),
        (
            {"hook": "notifications", "custom_data": {"type": "inbound_fax"}},
            {"custom_data.type": ["enum"]},
        ),
        (
            {"hook": "notifications", "custom_data": {"type": "all"}, "type": "voicemail_new"},
            {"custom_data.type": ["enum"]},
        ),
        ({"hook": "object", "type": "user"}, {"type": ["enum"]}),
        (
            {"hook": "object", "custom_data": {"type": "device", "action": 1}},
            {"custom_data.type": ["enum"], "custom_data.action": ["type"]},
        ),
        ({"hook": "object", "format": "xml"}, {"format": ["enum"]}),
        ({"hook": "object", "http_verb": "get"}, {"http_verb": ["enum"]}),
        ({"hook": "object", "include_subaccounts": True}, {"include_subaccounts": ["enum"]}),
        ({"hook": "object", "custom_data": []}, {"custom_data": ["type"]}),
        ({"hook": ["object"], "type": 5}, {"hook": ["type"]}),
        ({"hook": {"object": 1}, "custom_data": {"type": "x"}}, {"hook": ["type"]}),
        ({"custom_data": {"type": "x"}}, {"hook": ["required"]}),
    ],
)
async def test_a_modifier_that_selects_nothing_is_refused(
    settings: dict[str, Any], broken: dict[str, list[str]], account: AccountClient
) -> None:
    document = {"name": "x", "uri": URI, **settings}
    refused = await account.http.put(account.path("webhooks"), json={"data": document})
    assert rules(refused) == broken


async def test_a_ping_has_the_vocabulary_of_its_webhook(
    account: AccountClient, receiver: WebhookReceiver
) -> None:
    webhook = await a_webhook(account, uri=receiver.url(), hook="object", format="json")
    data_of(await account.http.post(f"{account.path('webhooks', webhook['id'])}/ping"))
    [request] = receiver.received
    request.verify(webhook["secret"])
    assert request.headers["content-type"] == "application/json"
    assert request.event["event_name"] == "webhook.ping"
    assert request.event["hook_id"] == request.headers["x-hook-id"] == webhook["id"]
