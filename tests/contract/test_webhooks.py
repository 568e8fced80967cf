"""Webhooks over HTTP: stored fields, refusals, tests, attempts, and secrets."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from service.api.kazoo.openapi import sample_requests
from service.domain.webhook import MAX_WEBHOOKS
from service.wiring.dev import DEV_WEBHOOK_NETWORKS
from tests.contract.described import Described
from tests.contract.webhooks import URI, a_webhook, rules
from tests.contract.wire import NO_ID, no_fault_logged, problems, refusal, success
from tests.support.ports import free_port
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.webhook_receiver import WebhookReceiver


async def test_a_webhook_is_created_with_defaults_and_its_secret_is_returned_once(
    account: AccountClient,
) -> None:
    document = {
        "name": "Tickets",
        "uri": URI,
        "hook": "message.new",
        "custom_data": {"queue": "support"},
        "http_verb": "post",
        "pvt_thing": "x",
        "secret": "mine",
        "disable_reason": "mine",
    }
    made = await account.http.put(account.path("webhooks"), json={"data": document})
    envelope = success(made, account.token, 201, "revision", "metadata")
    data = envelope["data"]
    secret = data.pop("secret")
    assert len(secret) == len("whsec_") + 44
    del document["pvt_thing"], document["secret"], document["disable_reason"]
    assert data == {**document, "id": data["id"], "enabled": True}
    path = account.path("webhooks", data["id"])
    assert made.headers["location"] == f"/v2/{path}"
    answers = [
        await account.http.get(path),
        await account.http.patch(path, json={"data": {"secret": "mine"}}),
        await account.http.post(path, json={"data": document}),
    ]
    for answer in answers:
        assert data_of(answer) == data
    listed = await account.http.get(account.path("webhooks"))
    for answer in (*answers, listed):
        assert secret not in answer.text
        assert "whsec_" not in answer.text


async def test_all_problems_of_a_webhook_are_reported_at_once(
    account: AccountClient,
) -> None:
    path = account.path("webhooks")
    wrong = {
        "name": "",
        "uri": "http://user:word@example.com/",
        "hook": "message.old",
        "enabled": "maybe",
        "custom_data": {"fine": "x", "a.b": 1},
    }
    assert rules(await account.http.put(path, json={"data": wrong})) == {
        "name": ["minLength"],
        "uri": ["wrong_format"],
        "hook": ["enum"],
        "enabled": ["type"],
        "custom_data.a%2Eb": ["type"],
    }
    assert rules(await account.http.put(path, json={"data": {}})) == {
        "name": ["required"],
        "uri": ["required"],
        "hook": ["required"],
    }
    not_texts: tuple[Any, ...] = ([], "x", 1)
    for custom in not_texts:
        refused = await account.http.put(path, json={"data": {**wrong, "custom_data": custom}})
        assert rules(refused)["custom_data"] == ["type"]
    large = {"name": "x", "uri": URI, "hook": "all", "more": "x" * 70_000}
    problems(await account.http.put(path, json={"data": large}), 413)
    assert data_of(await account.http.get(path)) == []


async def test_addresses_that_are_not_public_are_refused_unless_settings_allow_them(
    account: AccountClient, service: RunningService
) -> None:
    webhook = await a_webhook(account, uri="http://127.0.0.1:9/")
    strict = await service.another_api(
        AFTERTONE_WEBHOOK_ALLOW_PRIVATE="false", AFTERTONE_WEBHOOK_ALLOW_HTTP="false"
    )
    try:
        async with strict.client(account.token) as http:
            path = account.path("webhooks")
            for host in (
                "127.0.0.1",
                "localhost",
                "[::1]",
                "[::ffff:127.0.0.1]",
                "169.254.169.254",
                "10.0.0.1",
                "2130706433",
            ):
                document = {"name": "x", "uri": f"http://{host}/", "hook": "none"}
                made = await http.put(path, json={"data": document})
                assert rules(made) == {"uri": ["forbidden_target"], "hook": ["enum"]}
            first = account.path("webhooks", webhook["id"])
            changed = await http.patch(first, json={"data": {"uri": "http://[::1]/"}})
            assert rules(changed) == {"uri": ["forbidden_target"]}
            assert data_of(await http.patch(first, json={"data": {"name": "as it was"}}))
            ping = data_of(await http.post(f"{first}/ping"))
            assert ping["error"] == "The host has an address that is not public; use a public host"
    finally:
        await strict.stop()


async def test_a_development_service_allows_loopback_addresses_only(
    account: AccountClient, service: RunningService
) -> None:
    dev = await service.another_api(
        AFTERTONE_WEBHOOK_ALLOW_PRIVATE=DEV_WEBHOOK_NETWORKS,
        AFTERTONE_WEBHOOK_ALLOW_HTTP="false",
    )
    try:
        async with dev.client(account.token) as http:
            path = account.path("webhooks")
            document = {"name": "x", "hook": "all"}
            for host in ("127.0.0.1:9", "[::1]:9"):
                made = await http.put(path, json={"data": {**document, "uri": f"http://{host}/"}})
                assert data_of(made, 201)
            for uri in ("http://169.254.169.254/", "https://10.0.0.1/", "http://8.8.8.8/"):
                made = await http.put(path, json={"data": {**document, "uri": uri}})
                assert rules(made) == {"uri": ["forbidden_target"]}
    finally:
        await dev.stop()


async def test_webhooks_are_replaced_merged_disabled_and_deleted(account: AccountClient) -> None:
    webhook = await a_webhook(account, custom_data={"a": "1", "b": "2"}, deep={"x": 1})
    del webhook["secret"]
    path = account.path("webhooks", webhook["id"])
    changes = {"custom_data": {"a": None, "c": "3"}, "enabled": False}
    merged = data_of(await account.http.patch(path, json={"data": changes}))
    assert merged == {**webhook, "custom_data": {"b": "2", "c": "3"}, "enabled": False}
    assert "disable_reason" not in merged
    plain = {"name": "Plain", "uri": URI, "hook": "all"}
    replaced = data_of(await account.http.post(path, json={"data": plain}))
    assert replaced == {**plain, "id": webhook["id"], "enabled": True}
    gone = success(await account.http.delete(path), account.token, 200, "revision", "metadata")
    assert gone["data"] == {**replaced, "_read_only": {"deleted": True}}
    assert gone["metadata"]["deleted"] is True
    assert data_of(await account.http.get(account.path("webhooks"))) == []


async def test_webhooks_are_listed_by_name_in_pages_and_by_filters(account: AccountClient) -> None:
    for name in ("c", "a", "d", "b"):
        await a_webhook(account, name=name, enabled=name != "d")
    path = account.path("webhooks")
    first = await account.http.get(path, params={"page_size": 3})
    second = await account.http.get(path, params={"start_key": first.json()["next_start_key"]})
    listed = data_of(first) + data_of(second)
    assert [row["name"] for row in listed] == ["a", "b", "c", "d"]
    assert listed[0].keys() == {"id", "name", "uri", "hook", "enabled"}
    down = await account.http.get(path, params={"ascending": "false", "page_size": 1})
    assert [row["name"] for row in data_of(down)] == ["d"]
    response = await account.http.get(path, params={"filter_enabled": "false"})
    assert [row["name"] for row in data_of(response)] == ["d"]


async def test_an_account_has_at_most_a_hundred_webhooks(account: AccountClient) -> None:
    for number in range(MAX_WEBHOOKS):
        await a_webhook(account, name=f"{number}")
    document = {"name": "x", "uri": URI, "hook": "all"}
    refused = await account.http.put(account.path("webhooks"), json={"data": document})
    assert refusal(refused, 409, "too_many_webhooks")["limit"] == MAX_WEBHOOKS


async def test_a_ping_is_sent_at_once_and_answers_how_that_went(
    account: AccountClient, receiver: WebhookReceiver
) -> None:
    webhook = await a_webhook(account, uri=receiver.url(), enabled=False, custom_data={"a": "b"})
    path = account.path("webhooks", webhook["id"])
    answer = await account.http.post(f"{path}/ping")
    ping = success(answer, account.token)["data"]
    [request] = receiver.received
    request.verify(webhook["secret"])
    assert request.event["type"] == "voicemail.webhook.ping"
    assert request.event["data"] == {"account_id": account.account_id, "webhook_id": webhook["id"]}
    assert request.event["customdata"] == '{"a":"b"}'
    assert request.event["id"] == ping["event_id"]
    expected = {
        "hook": "webhook.ping",
        "hook_id": webhook["id"],
        "attempt": 1,
        "method": "post",
        "status": "success",
        "result": "success",
        "response_code": 200,
    }
    assert ping == {
        **expected,
        **{name: ping[name] for name in ("id", "event_id", "timestamp", "duration_ms")},
    }
    assert data_of(await account.http.get(path))["enabled"] is False


async def test_slow_pings_of_one_account_leave_slots_for_others(
    account: AccountClient, service: RunningService, receiver: WebhookReceiver
) -> None:
    receiver.acts["/slow"] = receiver.stall
    slow = await a_webhook(account, uri=receiver.url("/slow"))
    path = f"{account.path('webhooks', slow['id'])}/ping"
    pings = [asyncio.create_task(account.http.post(path)) for _ in range(36)]
    completed = asyncio.as_completed(pings)
    for _ in range(28):
        refusal(await next(completed), 503, "service_unavailable")

    other = await service.an_account()
    quick = await a_webhook(other, uri=receiver.url())
    answer = await other.http.post(f"{other.path('webhooks', quick['id'])}/ping")
    assert data_of(answer)["status"] == "success"
    receiver.stop_stalling()
    assert {data_of(await ping)["status"] for ping in completed} == {"success"}
    await other.http.aclose()


async def test_attempts_are_listed_the_latest_first(
    account: AccountClient, receiver: WebhookReceiver
) -> None:
    webhook = await a_webhook(account, uri=receiver.url())
    path = account.path("webhooks", webhook["id"])
    receiver.acts["/hook"] = receiver.status(200, 500, 200)
    sent = [data_of(await account.http.post(f"{path}/ping")) for _ in range(3)]
    assert [attempt["status"] for attempt in sent] == ["success", "failure", "success"]
    assert sent[1]["error"] == "response status 500"
    path = f"{path}/attempts"
    listed = success(
        await account.http.get(path), account.token, 200, "revision", "metadata", "page_size"
    )
    assert listed["data"] == sent[::-1]
    first = await account.http.get(path, params={"page_size": 2})
    second = await account.http.get(path, params={"start_key": first.json()["next_start_key"]})
    assert data_of(first) + data_of(second) == sent[::-1]
    up = await account.http.get(path, params={"ascending": "true", "page_size": 1})
    assert data_of(up) == sent[:1]
    failed = await account.http.get(path, params={"filter_status": "failure"})
    assert data_of(failed) == [sent[1]]


async def test_the_attempts_of_an_account_are_those_of_all_its_webhooks(
    account: AccountClient, service: RunningService, receiver: WebhookReceiver
) -> None:
    async def ping(owner: AccountClient, webhook: dict[str, Any]) -> Any:
        answer = await owner.http.post(f"{owner.path('webhooks', webhook['id'])}/ping")
        return data_of(answer)

    other = await service.an_account()
    await ping(other, await a_webhook(other, uri=receiver.url()))
    hooks = [await a_webhook(account, uri=receiver.url()) for _ in range(2)]
    sent = [await ping(account, hooks[number % 2]) for number in range(3)]
    assert [attempt["hook_id"] for attempt in sent[:2]] == [hook["id"] for hook in hooks]
    path = account.path("webhooks", "attempts")
    listed = await account.http.get(path)
    envelope = success(listed, account.token, 200, "revision", "metadata", "page_size")
    assert envelope["data"] == sent[::-1]
    first = await account.http.get(path, params={"page_size": 2})
    second = await account.http.get(path, params={"start_key": first.json()["next_start_key"]})
    assert data_of(first) + data_of(second) == sent[::-1]
    selections: list[tuple[dict[str, Any], list[Any]]] = [
        ({"ascending": "true"}, sent),
        ({"filter_hook_id": hooks[1]["id"]}, [sent[1]]),
        ({"created_from": sent[0]["timestamp"]}, sent[::-1]),
        ({"created_to": sent[0]["timestamp"] - 60}, []),
    ]
    for query, expected in selections:
        assert data_of(await account.http.get(path, params=query)) == expected
    await other.http.aclose()


async def test_a_ping_that_fails_is_an_answer_and_no_fault(
    account: AccountClient, service: RunningService, receiver: WebhookReceiver
) -> None:
    webhook = await a_webhook(account, uri=receiver.url())
    path = account.path("webhooks", webhook["id"])
    targets = {
        receiver.url("/gone"): "response status 410",
        receiver.url("/hang-up"): "connection closed without a response",
        f"http://127.0.0.1:{free_port()}/": "connection failed",
        f"http://localhost:{free_port()}/": "connection failed",
    }
    receiver.acts = {"/gone": receiver.status(410), "/hang-up": receiver.hang_up}
    async with no_fault_logged(service):
        for uri, error in targets.items():
            await account.http.patch(path, json={"data": {"uri": uri}})
            ping = data_of(await account.http.post(f"{path}/ping"))
            assert (ping["status"], ping["error"]) == ("failure", error)
            has_status = error.startswith("response status")
            reason = "bad response code" if has_status else "kazoo http client error"
            assert (ping["result"], ping["reason"]) == ("failure", reason)
            assert ping.get("client_error") == (None if has_status else error)
    assert data_of(await account.http.get(path))["enabled"] is True


async def test_a_webhook_of_another_account_answers_as_one_that_does_not_exist(
    account: AccountClient, service: RunningService, receiver: WebhookReceiver
) -> None:
    other = await service.an_account()
    foreign = (await a_webhook(other, uri=receiver.url()))["id"]
    document = {"data": {"name": "x", "uri": URI, "hook": "all"}}
    for webhook_id in (foreign, NO_ID, "xyz"):
        path = account.path("webhooks", webhook_id)
        answers = [
            await account.http.get(path),
            await account.http.post(path, json=document),
            await account.http.patch(path, json=document),
            await account.http.delete(path),
            await account.http.get(f"{path}/attempts"),
            await account.http.post(f"{path}/ping"),
        ]
        for answer in answers:
            data = refusal(answer, 404, "bad_identifier")
            assert data == {
                "message": "bad identifier",
                "cause": webhook_id,
            }
        direct = await account.http.get(other.path("webhooks", webhook_id))
        refusal(direct, 403, "forbidden")
    assert data_of(await other.http.get(other.path("webhooks", foreign)))["uri"] == receiver.url()
    assert receiver.received == []
    await other.http.aclose()


async def test_webhooks_that_the_service_disabled_are_enabled_together(
    account: AccountClient,
) -> None:
    database = await asyncpg.connect(account.service.environment["AFTERTONE_DATABASE_URL"])
    hooks = [await a_webhook(account, name=f"{number}") for number in range(3)]
    off = account.path("webhooks", hooks[2]["id"])
    data_of(await account.http.patch(off, json={"data": {"enabled": False}}))
    await database.execute(
        "UPDATE webhooks SET enabled = false, failures = 50, disable_reason = 'failures'"
        " WHERE webhook_id = ANY($1)",
        [UUID(hook["id"]) for hook in hooks[:2]],
    )
    path = account.path("webhooks")
    for data, broken in (({}, ["required"]), ({"re-enable": False}, ["enum"])):
        assert rules(await account.http.patch(path, json={"data": data})) == {"re-enable": broken}
    assert [row["enabled"] for row in data_of(await account.http.get(path))] == [False] * 3
    enabled = await account.http.patch(path, json={"data": {"re-enable": True}})
    assert data_of(enabled) == "hooks updated"
    rows = data_of(await account.http.get(path))
    assert [row["enabled"] for row in rows] == [True, True, False]
    assert not any("disable_reason" in row for row in rows)
    failures = await database.fetch(
        "SELECT failures FROM webhooks WHERE account_id = $1", UUID(account.account_id)
    )
    await database.close()
    assert {row["failures"] for row in failures} == {0}
    audit = data_of(await account.http.get(account.path("audit"), params={"page_size": 2}))
    assert {(row["action"], row["target"]) for row in audit} == {
        ("webhook.updated", hook["id"]) for hook in hooks[:2]
    }


async def test_answers_about_webhooks_are_as_described(
    account: AccountClient, service: RunningService, receiver: WebhookReceiver
) -> None:
    async with httpx.AsyncClient() as visitor:
        described = Described((await visitor.get(f"{service.url}/openapi.json")).json())
    http, path = account.http, account.path
    document = {**sample_requests.NEW_WEBHOOK, "uri": receiver.url()}
    made = await http.put(path("webhooks"), json={"data": document})
    webhook = path("webhooks", data_of(made, 201)["id"])
    answers = [
        made,
        await http.get(path("webhooks")),
        await http.get(webhook),
        await http.patch(webhook, json={"data": {"enabled": True}}),
        await http.post(webhook, json={"data": document}),
        await http.post(f"{webhook}/ping"),
        await http.get(f"{webhook}/attempts"),
        await http.get(path("webhooks", "attempts")),
        await http.patch(path("webhooks"), json={"data": {"re-enable": True}}),
        await http.get("webhooks"),
        await http.delete(webhook),
    ]
    for answer in answers:
        assert answer.is_success, answer.text
        described.check(answer)
    refused = [
        await http.get(webhook),
        await http.put(path("webhooks"), json={"data": {"hook": "x"}}),
        await http.patch(path("webhooks"), json={"data": {"re-enable": False}}),
    ]
    for answer in refused:
        described.check(answer)
