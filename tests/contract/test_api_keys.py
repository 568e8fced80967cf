"""Named API keys: their scopes, their boxes, their expiry and their revocation."""

from typing import Any

import httpx
import pytest

from service.api.kazoo.times import gregorian
from service.domain.api_key import MAX_API_KEYS
from tests.contract.wire import FORBIDDEN, NO_ID, NOW, WRONG_CREDENTIALS, problems, refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

LATER = "2099-01-01T00:00:00Z"


async def a_key(account: AccountClient, *scopes: str, **more: Any) -> dict[str, Any]:
    document = {"name": "Program", "scopes": scopes, **more}
    made = await account.http.put(account.path("api_keys"), json={"data": document})
    key: dict[str, Any] = data_of(made, 201)
    return key


async def signed_in(account: AccountClient, key: dict[str, Any]) -> httpx.AsyncClient:
    answer = await account.http.put("api_auth", json={"data": {"api_key": key["api_key"]}})
    assert data_of(answer, 201)["account_id"] == account.account_id
    return account.service.client(answer.json()["auth_token"])


async def test_a_key_is_returned_once_and_listed_by_name(account: AccountClient) -> None:
    second = await a_key(account, "messages:read", name="Second", expires=LATER)
    first = await a_key(account, "account:admin", name="First")
    secret = second.pop("api_key")
    assert len(secret) == 64
    path = account.path("api_keys", second["id"])
    assert data_of(await account.http.get(path)) == second
    assert second["expires"] == 66_238_128_000
    rows = data_of(await account.http.get(account.path("api_keys")))
    assert [row["id"] for row in rows] == [first["id"], second["id"]]
    assert secret not in (await account.http.get(account.path("api_keys"))).text


async def test_a_token_has_only_the_scopes_of_its_key(account: AccountClient) -> None:
    box = await account.a_vmbox()
    await account.leave(box, an_mp3())
    key = await a_key(account, "messages:read")
    async with await signed_in(account, key) as client:
        assert len(data_of(await client.get(account.path("vmboxes", "messages")))) == 1
        for path in ("vmboxes", "events", "users", "webhooks", "api_key", "api_keys"):
            refusal(await client.get(account.path(path)), 403, FORBIDDEN)
        messages = account.path("vmboxes", box, "messages")
        refusal(await client.delete(messages), 403, FORBIDDEN)
    used = data_of(await account.http.get(account.path("api_keys", key["id"])))
    assert used["last_used"] >= gregorian(NOW)


async def test_a_key_of_some_boxes_gives_access_to_no_other(account: AccountClient) -> None:
    own, foreign = await account.a_vmbox(), await account.a_vmbox()
    scopes = ("vmboxes:read", "vmboxes:write", "events:read", "messages:read")
    key = await a_key(account, *scopes, vmbox_ids=[own])
    async with await signed_in(account, key) as client:
        assert [row["id"] for row in data_of(await client.get(account.path("vmboxes")))] == [own]
        refusal(await client.get(account.path("vmboxes", foreign)), 403, FORBIDDEN)
        data = {"data": {"name": "New", "mailbox": "9"}}
        refusal(await client.put(account.path("vmboxes"), json=data), 403, FORBIDDEN)
        greeting = {"data": {"name": "Hello"}}
        refusal(await client.put(account.path("media"), json=greeting), 403, FORBIDDEN)
        page = data_of(await client.get(account.path("events"), params={"since": "0.0"}))
        assert {event["data"]["vmbox_id"] for event in page} == {own}


async def test_a_revoked_key_and_its_tokens_are_refused_in_each_process(
    account: AccountClient, service: RunningService
) -> None:
    key = await a_key(account, "account:admin")
    other = await service.another_api()
    try:
        async with await signed_in(account, key) as client:
            token = client.headers["x-auth-token"]
            data_of(await client.get(account.path("users")))
            async with other.client(token) as elsewhere:
                data_of(await elsewhere.get(account.path("users")))
                data_of(await account.http.delete(account.path("api_keys", key["id"])))
                refusal(await client.get(account.path("users")), 401, WRONG_CREDENTIALS)

                async def is_refused() -> bool:
                    return (await elsewhere.get(account.path("users"))).status_code == 401

                await wait_until(is_refused)
    finally:
        await other.stop()
    again = await account.http.put("api_auth", json={"data": {"api_key": key["api_key"]}})
    refusal(again, 401, "invalid_credentials")
    refusal(await account.http.get(account.path("api_keys", key["id"])), 404, "bad_identifier")
    refusal(await account.http.delete(account.path("api_keys", NO_ID)), 404, "bad_identifier")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"scopes": ["messages:read"]}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["everything"]}, "scopes.0"),
        ({"name": "x", "scopes": ["user:self"]}, "scopes.0"),
        ({"name": "x", "scopes": ["messages:read"], "vmbox_ids": [NO_ID]}, "vmbox_ids"),
        ({"name": "x", "scopes": ["messages:read"], "vmbox_ids": ["x" * 32]}, "vmbox_ids"),
        ({"name": "x", "scopes": ["account:admin"], "vmbox_ids": [NO_ID]}, "vmbox_ids"),
        ({"name": "x", "scopes": ["messages:read"], "expires": "tomorrow"}, "expires"),
        ({"name": "x", "scopes": ["messages:read"], "expires": 63_000_000_000}, "expires"),
        ({"name": "x", "scopes": ["messages:read"], "expires": "2001-01-01T00:00:00Z"}, "expires"),
    ],
)
async def test_a_bad_key_is_refused(
    account: AccountClient, document: dict[str, Any], field: str
) -> None:
    refused = await account.http.put(account.path("api_keys"), json={"data": document})
    assert problems(refused).keys() == {field}


async def test_an_account_has_a_limited_number_of_keys(account: AccountClient) -> None:
    for _ in range(MAX_API_KEYS):
        await a_key(account, "messages:read")
    document = {"name": "One more", "scopes": ["messages:read"]}
    refused = await account.http.put(account.path("api_keys"), json={"data": document})
    assert refusal(refused, 409, "too_many_api_keys")["limit"] == MAX_API_KEYS
