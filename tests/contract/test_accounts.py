"""Accounts over HTTP: change, list, delete, and what other tenants can see."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import nats
import pytest_asyncio
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from tests.contract.wire import FORBIDDEN, NO_ID, problems, refusal, success
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

ROUTES = (
    ("GET", ""),
    ("PUT", ""),
    ("POST", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("GET", "children"),
    ("GET", "descendants"),
    ("GET", "users"),
    ("PUT", "users"),
    ("GET", f"users/{NO_ID}"),
    ("POST", f"users/{NO_ID}"),
    ("PATCH", f"users/{NO_ID}"),
    ("DELETE", f"users/{NO_ID}"),
)


@pytest_asyncio.fixture(loop_scope="session")
async def root(service: RunningService) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client(service.root_token) as client:
        yield client


async def a_child(account: AccountClient, name: str = "", **more: Any) -> dict[str, Any]:
    name = name or f"c{uuid4().hex}"
    document = {"name": name, "realm": f"{name.lower()}.example", **more}
    made = await account.http.put(account.path(), json={"data": document})
    child: dict[str, Any] = data_of(made, 201)
    return child


async def test_post_replaces_all_that_is_public_and_patch_merges(account: AccountClient) -> None:
    child = await a_child(account, color="red", deep={"a": 1, "b": 2})
    path = f"accounts/{child['id']}"
    names = {"name": child["name"], "realm": child["realm"]}

    patched = await account.http.patch(
        path, json={"data": {"color": None, "deep": {"b": None}, "pvt_x": 1, "wish": 3}}
    )
    envelope = success(patched, account.token, 200, "revision", "metadata")
    assert envelope["data"] == {**names, "id": child["id"], "deep": {"a": 1}, "wish": 3}
    assert envelope["metadata"].keys() == {"id", "created", "modified"}

    replaced = await account.http.post(path, json={"data": {**names, "timezone": "Europe/Rome"}})
    expected = {**names, "id": child["id"], "timezone": "Europe/Rome"}
    assert data_of(replaced) == expected
    assert data_of(await account.http.get(path)) == expected


async def test_all_problems_of_a_change_are_reported_at_once(account: AccountClient) -> None:
    first, other = await a_child(account), await a_child(account)
    path = f"accounts/{first['id']}"
    taken = {"name": other["name"].upper(), "realm": other["realm"].upper(), "wire_profile": "x"}
    for method in ("POST", "PATCH"):
        answer = await account.http.request(method, path, json={"data": taken})
        details = {field: list(rules) for field, rules in problems(answer).items()}
        assert details == {"name": ["unique"], "realm": ["unique"], "wire_profile": ["enum"]}
    missing = problems(await account.http.post(path, json={"data": {"timezone": "Nowhere"}}))
    assert {field: list(rules) for field, rules in missing.items()} == {
        "name": ["required"],
        "realm": ["required"],
        "timezone": ["wrong_format"],
    }
    removed = problems(await account.http.patch(path, json={"data": {"name": None}}))
    assert list(removed["name"]) == ["required"]
    own = await account.http.patch(path, json={"data": {"name": first["name"].upper()}})
    assert data_of(own)["name"] == first["name"].upper()


async def test_limit_and_profile_of_an_account_take_effect_at_once(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    await account.http.patch(
        account.path(), json={"data": {"max_message_count": "1", "wire_profile": "audian"}}
    )
    path = account.path("vmboxes", vmbox_id, "messages")
    full = await account.http.put(path, json={"data": {}})
    refusal(full, 409, "mailbox_full")
    response = data_of(await account.http.get(f"{path}/{media_id}"))
    assert isinstance(response["timestamp"], str)


async def test_accounts_below_are_listed_by_name_in_pages(account: AccountClient) -> None:
    tag = uuid4().hex
    names = [f"{letter}{tag}" for letter in "cab"]
    made = {name: await a_child(account, name, color=name[0]) for name in names}
    deep = f"d{tag}"
    below = {"name": deep, "realm": f"{deep}.example"}
    grandchild = data_of(
        await account.http.put(f"accounts/{made[names[0]]['id']}", json={"data": below}), 201
    )

    children = await account.http.get(account.path("children"))
    assert [row["name"] for row in data_of(children)] == sorted(names)
    assert data_of(children)[0].keys() == {"id", "name", "realm"}

    path = account.path("descendants")
    first = await account.http.get(path, params={"page_size": 3})
    second = await account.http.get(path, params={"start_key": first.json()["next_start_key"]})
    assert [row["name"] for row in data_of(first) + data_of(second)] == sorted([*names, deep])
    assert data_of(second)[-1] == {"id": grandchild["id"], **below}
    down = await account.http.get(path, params={"descending": "true", "page_size": 1})
    assert [row["name"] for row in data_of(down)] == [deep]
    red = await account.http.get(path, params={"filter_color": "b"})
    assert [row["name"] for row in data_of(red)] == [f"b{tag}"]
    assert list(problems(await account.http.get(path, params={"start_key": "?"}))) == ["start_key"]


async def test_deleting_an_account_deletes_its_content_and_frees_its_name(
    account: AccountClient,
) -> None:
    child = await a_child(account)
    path = f"accounts/{child['id']}"
    key = data_of(await account.http.get(f"{path}/api_key"))["api_key"]
    signed_in = await account.http.put("api_auth", json={"data": {"api_key": key}})
    box = {"data": {"name": "Box", "mailbox": "1"}}
    vmbox_id = data_of(await account.http.put(f"{path}/vmboxes", json=box), 201)["id"]

    gone = success(await account.http.delete(path), account.token, 200, "revision", "metadata")
    assert gone["data"] == {**child, "_read_only": {"deleted": True}}
    assert gone["metadata"]["deleted"] is True

    async with account.service.client(signed_in.json()["auth_token"]) as its_own:
        for part in ("", "/vmboxes", f"/vmboxes/{vmbox_id}", "/users", "/api_key"):
            refusal(await account.http.get(path + part), 403, "forbidden")
            refusal(await its_own.get(path + part), 401, "invalid credentials")
    refusal(
        await account.http.put("api_auth", json={"data": {"api_key": key}}),
        401,
        "invalid_credentials",
    )
    refusal(await account.http.delete(path), 403, "forbidden")
    again = {"name": child["name"], "realm": child["realm"]}
    anew = data_of(await account.http.put(account.path(), json={"data": again}), 201)
    assert anew["id"] != child["id"]


async def test_subscribers_receive_the_deletion_of_an_account(account: AccountClient) -> None:
    child = await a_child(account)
    await account.http.delete(f"accounts/{child['id']}")
    client = await nats.connect(account.service.environment["AFTERTONE_NATS_URL"])
    try:
        message = await last_message(client, f"voicemail.v1.{child['id']}._.account.deleted")
    finally:
        await client.close()
    assert msgspec.json.decode(message.data or b"") == {
        "account_id": child["id"],
        "epoch": 1,
        "sequence": 1,
    }
    headers = message.headers or {}
    assert headers["ce-source"] == f"/accounts/{child['id']}"
    assert headers["ce-type"] == "voicemail.account.deleted"
    assert headers["ce-sequence"] == f"{1:020d}"
    assert "ce-subject" not in headers


async def last_message(client: Client, subject: str) -> RawStreamMsg:
    results: list[RawStreamMsg] = []

    async def is_published() -> bool:
        with suppress(NotFoundError):
            results.append(await client.jetstream().get_last_msg("VOICEMAIL", subject))
        return bool(results)

    await wait_until(is_published)
    return results[0]


async def test_an_account_with_others_below_it_stays_and_so_does_the_root(
    account: AccountClient, root: httpx.AsyncClient, service: RunningService
) -> None:
    child = await a_child(account)
    refusal(await account.http.delete(account.path()), 409, "account_has_descendants")
    refusal(await root.delete(f"accounts/{service.root_id}"), 409, "account_is_root")
    data_of(await account.http.delete(f"accounts/{child['id']}"))
    data_of(await account.http.delete(account.path()))
    refusal(await account.http.get(account.path()), 401, "invalid credentials")


async def test_a_foreign_account_answers_as_one_that_does_not_exist(
    account: AccountClient, service: RunningService
) -> None:
    other = await service.an_account()
    for method, route in ROUTES:
        body: dict[str, Any] = {"json": {"data": {}}} if method in ("PUT", "POST", "PATCH") else {}
        ids = (other.account_id, service.root_id, NO_ID)
        paths = ("/".join(("accounts", item, route)).rstrip("/") for item in ids)
        record = await asyncio.gather(*(account.http.request(method, at, **body) for at in paths))
        for answer in record:
            assert refusal(answer, 403, "forbidden", account.token) == {"message": FORBIDDEN}
    assert data_of(await other.http.get(other.path()))["realm"] == other.realm
    await other.http.aclose()
