"""Access: tokens, and isolation of tenants from each other."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest_asyncio

from service.domain.account import Method
from service.security import KeyRing, Tokens, load_key_ring
from tests.contract.wire import (
    FORBIDDEN,
    NO_ID,
    NOW,
    WRONG_CREDENTIALS,
    mixed,
    no_fault_logged,
    refusal,
)
from tests.support.accounts import a_key_ring
from tests.support.running import AccountClient, RunningService, data_of

MESSAGE = f"{NOW:%Y%m}-{NO_ID}"
ROUTES = (
    ("GET", ""),
    ("PUT", ""),
    ("GET", "api_key"),
    ("PUT", "api_key"),
    ("GET", "vmboxes"),
    ("PUT", "vmboxes"),
    ("GET", "vmboxes/messages"),
    ("GET", "vmboxes/{B}"),
    ("PATCH", "vmboxes/{B}"),
    ("DELETE", "vmboxes/{B}"),
    ("GET", "vmboxes/{B}/messages"),
    ("PUT", "vmboxes/{B}/messages"),
    ("POST", "vmboxes/{B}/messages"),
    ("DELETE", "vmboxes/{B}/messages"),
    ("GET", "vmboxes/{B}/messages/{M}"),
    ("POST", "vmboxes/{B}/messages/{M}"),
    ("DELETE", "vmboxes/{B}/messages/{M}"),
    ("GET", "vmboxes/{B}/messages/{M}/raw"),
    ("PUT", "vmboxes/{B}/messages/{M}/raw"),
)


@pytest_asyncio.fixture(loop_scope="session")
async def other(service: RunningService) -> AsyncIterator[AccountClient]:
    """Another tenant."""
    client = await service.an_account()
    yield client
    await client.http.aclose()


def a_token(account: AccountClient, ring: KeyRing | None = None, **claims: Any) -> str:
    """Returns a token like that of the service, with other `claims` or other keys."""
    ring = ring or load_key_ring(account.service.folder / "keys.json")
    parameters = {"auth_epoch": 1, "method": Method.API_KEY, "now": datetime.now(UTC), **claims}
    token, _ = Tokens(ring, 3600).issue(UUID(account.account_id), **parameters)
    return token


async def answer_to(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    """Returns the response to a request that is valid except for the ids in its path."""
    body: dict[str, Any] = {} if method in ("GET", "HEAD", "DELETE") else {"json": {"data": {}}}
    if method == "PUT" and path.endswith("/raw"):
        body = mixed((["Content-Type: audio/mp3"], b"x"))
    elif method == "POST" and path.endswith("/messages"):
        body = {"json": {"data": {"messages": [MESSAGE]}}}
    return await client.request(method, path, **body)


async def test_every_route_needs_a_token(service: RunningService, account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    async with httpx.AsyncClient(base_url=f"{service.url}/v2/", timeout=30) as client:
        for method, route in ROUTES:
            path = account.path(route.format(B=vmbox_id, M=media_id))
            data = refusal(await answer_to(client, method, path), 401, "invalid_credentials")
            assert data == {"message": WRONG_CREDENTIALS}
            unread = await client.request(method, path, content=b"{no json")
            refusal(unread, 401, "invalid_credentials")
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_an_invalid_token_is_refused_with_one_code(
    service: RunningService, account: AccountClient, other: AccountClient
) -> None:
    good = a_token(account)
    head, body, signature = good.split(".")
    unsigned = jwt.encode({"iss": "aftertone", "account_id": account.account_id}, "", "none")
    confused = jwt.encode(jwt.decode(good, options={"verify_signature": False}), "x" * 32, "HS256")
    bad = {
        "garbage": "x",
        "dots": "a.b.c",
        "long": "x" * 5000,
        "not ASCII": "t\u00f6ken",
        "expired": a_token(account, now=datetime.now(UTC) - timedelta(hours=2)),
        "of another epoch": a_token(account, auth_epoch=7),
        "signed with another ring": a_token(account, a_key_ring()),
        "with its signature reversed": f"{head}.{body}.{signature[::-1]}",
        "with another's body": f"{head}.{other.token.split('.')[1]}.{signature}",
        "without signature": unsigned,
        "signed with a word": confused,
        "cut": good[:-5],
        "with a scheme": f"Bearer {good}",
    }
    async with no_fault_logged(service), httpx.AsyncClient(timeout=30) as client:
        url = f"{service.url}/v2/{account.path('vmboxes')}"
        for name, token in bad.items():
            for headers in ({"X-Auth-Token": token}, {"Authorization": f"Bearer {token}"}):
                raw = [(key.encode(), value.encode()) for key, value in headers.items()]
                answer = await client.get(url, headers=raw)
                assert refusal(answer, 401, "invalid credentials") == {}, name
            in_query = await client.get(url, params={"auth_token": token})
            refusal(in_query, 401, "invalid credentials")
        assert (await client.get(url, headers={"X-Auth-Token": good})).status_code == 200


async def test_a_token_is_accepted_in_each_of_its_places(
    service: RunningService, account: AccountClient
) -> None:
    url = f"{service.url}/v2/{account.path('vmboxes')}"
    async with httpx.AsyncClient(timeout=30) as client:
        for headers, query in (
            ({"X-Auth-Token": account.token}, {}),
            ({"Authorization": f"Bearer {account.token}"}, {}),
            ({"X-Auth-Token": ""}, {"auth_token": account.token}),
            ({"X-Auth-Token": account.token}, {"auth_token": "garbage"}),
        ):
            answer = await client.get(url, headers=headers, params=query)
            assert answer.json()["auth_token"] == account.token
        changing = await client.put(url, params={"auth_token": account.token}, json={"data": {}})
        refusal(changing, 401, "invalid_credentials")
        own = {"X-Auth-Token": account.token, "X-Auth-Account-ID": account.account_id}
        assert (await client.get(url, headers=own)).status_code == 200
        foreign = {**own, "X-Auth-Account-ID": NO_ID}
        refusal(await client.get(url, headers=foreign), 401, "invalid credentials")


async def test_a_renewed_api_key_ends_the_token_that_renewed_it(account: AccountClient) -> None:
    path = account.path("api_key")
    old = data_of(await account.http.get(path))["api_key"]
    new = data_of(await account.http.put(path), 201)["api_key"]
    assert old != new
    refusal(await account.http.get(path), 401, "invalid credentials")
    with_old = await account.http.put("api_auth", json={"data": {"api_key": old}})
    refusal(with_old, 401, "invalid_credentials")
    signed_in = await account.http.put("api_auth", json={"data": {"api_key": new}})
    assert data_of(signed_in, 201)["account_id"] == account.account_id


async def test_sign_in_accepts_only_an_api_key(account: AccountClient) -> None:
    for data, field, rule in (
        ({}, "api_key", "required"),
        ({"api_key": "x" * 63}, "api_key", "minLength"),
        ({"api_key": "x" * 65}, "api_key", "maxLength"),
        ({"api_key": 5}, "api_key", "type"),
        ({"api_key": "x" * 64, "more": 1}, "more", "enum"),
    ):
        answer = await account.http.put("api_auth", json={"data": data})
        assert list(refusal(answer, 400, "validation error")[field]) == [rule]
        assert "x" * 20 not in answer.text
    unknown = await account.http.put("api_auth", json={"data": {"api_key": "é" * 64}})
    assert refusal(unknown, 401, "invalid_credentials") == {"message": WRONG_CREDENTIALS}


async def test_a_foreign_account_looks_like_one_that_does_not_exist(
    account: AccountClient, other: AccountClient, service: RunningService
) -> None:
    vmbox_id = await other.a_vmbox()
    media_id = await other.leave(vmbox_id)
    names = {"B": vmbox_id, "M": media_id}
    for method, route in ROUTES:
        for account_id in (other.account_id, service.root_id, NO_ID, "xyz", "%00"):
            path = "/".join(("accounts", account_id, route.format_map(names)))
            answer = await answer_to(account.http, method, path)
            assert refusal(answer, 403, "forbidden", account.token) == {"message": FORBIDDEN}
    assert [row["media_id"] for row in await other.listed(vmbox_id)] == [media_id]


async def test_foreign_boxes_and_messages_answer_exactly_as_unknown_ones(
    account: AccountClient, other: AccountClient
) -> None:
    own_box = await account.a_vmbox()
    own_message = await account.leave(own_box)
    foreign_box = await other.a_vmbox()
    foreign_message = await other.leave(foreign_box)
    cases = [
        ({"B": foreign_box, "M": foreign_message}, {"B": NO_ID, "M": MESSAGE}),
        ({"B": foreign_box, "M": own_message}, {"B": NO_ID, "M": own_message}),
        ({"B": own_box, "M": foreign_message}, {"B": own_box, "M": MESSAGE}),
    ]
    for method, route in ROUTES:
        if "{B}" not in route:
            continue
        for foreign, unknown in cases:
            if foreign["B"] == own_box and "{M}" not in route:
                continue
            record = [
                await answer_to(account.http, method, account.path(route.format_map(names)))
                for names in (foreign, unknown)
            ]
            assert _shape(record[0], foreign) == _shape(record[1], unknown), (method, route)
            assert record[0].status_code == 404
    assert [row["media_id"] for row in await account.listed(own_box)] == [own_message]
    assert [row["media_id"] for row in await other.listed(foreign_box)] == [foreign_message]
    assert await other.counts(foreign_box) == {"new": 1, "saved": 0}


async def test_the_root_account_gets_a_404_for_a_missing_account(service: RunningService) -> None:
    async with service.client(service.root_token) as root:
        unknown = refusal(await root.get(f"accounts/{NO_ID}/vmboxes"), 404, "bad_identifier")
        assert unknown == {
            "message": "bad identifier",
            "cause": NO_ID,
        }
        malformed = refusal(await root.get("accounts/xyz"), 404, "bad identifier")
        assert malformed == {"message": "invalid account_id 'xyz'"}


async def test_an_account_reaches_those_below_it(
    service: RunningService, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    async with service.client(service.root_token) as root:
        answer = await root.get(account.path("vmboxes", vmbox_id))
    assert data_of(answer)["id"] == vmbox_id
    assert answer.json()["auth_token"] == service.root_token


def _shape(answer: httpx.Response, names: dict[str, str]) -> tuple[Any, ...]:
    """All of an answer that could tell, with the ids of the request taken out."""
    body = answer.json()
    for key in ("request_id", "timestamp"):
        del body[key]
    text = str(body)
    for name, value in names.items():
        text = text.replace(value, name)
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("x-request-id", "date", "content-length")
    }
    return answer.status_code, text, headers
