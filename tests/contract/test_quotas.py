"""Quotas of an account: `limits` in its document, and their defaults."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx

from tests.contract.described import DESCRIBED
from tests.contract.mailboxes import a_mailbox, mailbox_client
from tests.contract.wire import problems, refusal
from tests.support.running import AccountClient, RunningService, data_of


async def limit_account(account: AccountClient, **limits: int) -> None:
    """Sets `limits` as the root account does."""
    async with account.service.client(account.service.root_token) as root:
        path = f"accounts/{account.account_id}"
        data_of(await root.patch(path, json={"data": {"limits": limits}}))


def new_vmbox() -> dict[str, Any]:
    return {"data": {"name": "Box", "mailbox": uuid4().hex[:8]}}


async def create_user(client: httpx.AsyncClient, account: AccountClient) -> httpx.Response:
    document = {"username": uuid4().hex[:8]}
    return await client.put(account.path("users"), json={"data": document})


async def test_a_request_beyond_a_quota_is_refused(account: AccountClient) -> None:
    await limit_account(account, boxes=2, users=1, webhooks=1)
    await account.a_vmbox()
    first = data_of(await account.http.put(account.path("vmboxes"), json=new_vmbox()), 201)
    answer = await account.http.put(account.path("vmboxes"), json=new_vmbox())
    data = refusal(answer, 409, "quota_exceeded")
    assert (data["quota"], data["limit"]) == ("boxes", 2)
    DESCRIBED.check(answer)

    data_of(await create_user(account.http, account), 201)
    answer = await create_user(account.http, account)
    assert refusal(answer, 409, "quota_exceeded")["quota"] == "users"
    DESCRIBED.check(answer)

    webhook = {"data": {"name": "Hook", "uri": "https://tickets.example.com/", "hook": "all"}}
    data_of(await account.http.put(account.path("webhooks"), json=webhook), 201)
    answer = await account.http.put(account.path("webhooks"), json=webhook)
    assert refusal(answer, 409, "too_many_webhooks")["limit"] == 1

    key = {"data": {"name": "Key", "scopes": ["messages:read"]}}
    await limit_account(account, api_keys=1)
    data_of(await account.http.put(account.path("api_keys"), json=key), 201)
    answer = await account.http.put(account.path("api_keys"), json=key)
    assert refusal(answer, 409, "too_many_api_keys")["limit"] == 1

    # A deleted box does not count, and 0 is no quota.
    data_of(await account.http.delete(account.path("vmboxes", first["id"])))
    data_of(await account.http.put(account.path("vmboxes"), json=new_vmbox()), 201)
    await limit_account(account, users=0)
    data_of(await create_user(account.http, account), 201)


async def test_audio_beyond_the_stored_bytes_is_refused_until_some_is_removed(
    account: AccountClient,
) -> None:
    vmbox_id, other_id = await account.a_vmbox(), await account.a_vmbox()
    media_id = await account.leave(vmbox_id, b"x" * 500)
    pending = await account.http.put(
        messages := account.path("vmboxes", vmbox_id, "messages"), json={"data": {}}
    )
    pending_id = data_of(pending, 201)["media_id"]
    greeting_id = await create_greeting(account, b"x" * 200)
    await limit_account(account, stored_bytes=1_000)
    large: dict[str, Any] = {"content": b"x" * 501, "headers": {"Content-Type": "audio/mpeg"}}
    copies = {"source_id": [other_id], "messages": [media_id]}
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", messages, large),
        ("PUT", f"{messages}/{pending_id}/raw", large),
        ("POST", f"{messages}/{media_id}", {"json": {"data": {"source_id": [other_id]}}}),
        ("POST", messages, {"json": {"data": copies}}),
        ("POST", account.path("media", greeting_id, "raw"), large),
    ]
    for method, path, body in ways:
        answer = await account.http.request(method, path, **body)
        data = refusal(answer, 409, "quota_exceeded")
        assert (data["quota"], data["limit"]) == ("stored_bytes", 1_000)
        DESCRIBED.check(answer)

    # 300 bytes are left: exactly as many are stored, and a move needs none.
    last_id = await account.leave(other_id, b"x" * 300)
    moved = await account.http.post(
        f"{messages}/{media_id}", json={"data": {"source_id": other_id}}
    )
    moved_id = data_of(moved)["media_id"]
    small = {**large, "content": b"x"}
    refusal(await account.http.put(messages, **small), 409, "quota_exceeded")
    # What is removed does not count, in whatever way it is removed.
    data_of(await account.http.delete(account.path("media", greeting_id)))
    await account.leave(vmbox_id, b"x" * 200)
    data_of(await account.http.delete(account.path("vmboxes", other_id, "messages", moved_id)))
    await account.leave(vmbox_id, b"x" * 500)
    data_of(await account.http.delete(account.path("vmboxes", other_id, "messages", last_id)))
    await account.leave(vmbox_id, b"x" * 300)
    refusal(await account.http.put(messages, **small), 409, "quota_exceeded")
    data_of(await account.http.delete(account.path("vmboxes", vmbox_id)))
    await account.leave(other_id, b"x" * 1_000)


async def create_greeting(account: AccountClient, audio: bytes) -> str:
    """Creates a greeting with audio; returns its id."""
    created = await account.http.put(account.path("media"), json={"data": {"name": "Hello"}})
    greeting_id: str = data_of(created, 201)["id"]
    raw = account.path("media", greeting_id, "raw")
    headers = {"Content-Type": "audio/mpeg"}
    data_of(await account.http.put(raw, content=audio, headers=headers), 201)
    return greeting_id


async def test_quotas_hold_in_the_mailbox_dialect(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    await limit_account(account, boxes=1)
    await a_mailbox(voip)
    async with mailbox_client(account.service, x_auth_token=account.token) as client:
        answer = await client.post("/voip/mailbox", json={"name": "Second"})
    assert answer.status_code == 409


async def test_only_an_account_above_changes_limits(account: AccountClient) -> None:
    await limit_account(account, boxes=5)
    path = account.path()
    own = data_of(await account.http.get(path))
    answer = await account.http.patch(path, json={"data": {"limits": {"boxes": 6}}})
    assert "limits" in refusal(answer, 403, "forbidden")["message"]
    data_of(await account.http.patch(path, json={"data": {"limits": None}}))
    replaced = {"name": own["name"], "realm": own["realm"], "unknown": 1}
    data_of(await account.http.post(path, json={"data": replaced}))
    data_of(await account.http.patch(path, json={"data": {"limits": {"boxes": 5}}}))
    assert data_of(await account.http.get(path))["limits"] == {"boxes": 5}
    async with account.service.client(account.service.root_token) as root:
        wrong = await root.patch(path, json={"data": {"limits": {"boxes": -1}}})
        assert list(problems(wrong)) == ["limits.boxes"]
        data_of(await root.patch(path, json={"data": {"limits": None}}))
    assert "limits" not in data_of(await account.http.get(path))


async def test_settings_are_the_defaults_of_quotas(
    account: AccountClient, service: RunningService
) -> None:
    limited = await service.another_api(AFTERTONE_QUOTA_BOXES="1", AFTERTONE_QUOTA_USERS="1")
    async with limited.client(account.token) as client:
        data_of(await client.put(account.path("vmboxes"), json=new_vmbox()), 201)
        refusal(await client.put(account.path("vmboxes"), json=new_vmbox()), 409, "quota_exceeded")
        data_of(await create_user(client, account), 201)
        refusal(await create_user(client, account), 409, "quota_exceeded")
    await limited.stop()


async def test_an_account_has_its_own_request_rate(account: AccountClient) -> None:
    await limit_account(account, requests_per_s=1)

    async def statuses() -> set[int]:
        answers = await asyncio.gather(*(account.http.get("token_auth") for _ in range(150)))
        return {answer.status_code for answer in answers}

    assert 429 in await statuses()


async def test_an_account_cannot_permit_from_domains_to_itself(account: AccountClient) -> None:
    limits = {"limits": {"email_from_domains": ["bank.example"]}}
    path = account.path()
    assert (await account.http.patch(path, json={"data": limits})).status_code == 403
    async with account.service.client(account.service.root_token) as root:
        changed = data_of(await root.patch(path, json={"data": limits}))
        assert changed["limits"]["email_from_domains"] == ["bank.example"]
        wrong = {"limits": {"email_from_domains": "bank.example"}}
        assert (await root.patch(path, json={"data": wrong})).status_code == 400
