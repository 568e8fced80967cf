"""The OpenAPI document of the running service, compared with its real answers."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from service.api.kazoo.openapi import sample_requests
from tests.contract.described import Described
from tests.contract.wire import NO_ID
from tests.support.running import AccountClient, RunningService, data_of, multipart

PASSWORD = {"username": "pat", "password": "correct horse"}
NO_MESSAGE = f"202601-{NO_ID}"


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(service: RunningService) -> AsyncIterator[httpx.AsyncClient]:
    """Client of a browser without a token."""
    async with httpx.AsyncClient(base_url=service.url) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def described(visitor: httpx.AsyncClient) -> Described:
    return Described((await visitor.get("/openapi.json")).json())


async def test_the_description_is_public_and_cacheable(
    visitor: httpx.AsyncClient,
) -> None:
    answer = await visitor.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    again = await visitor.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_root_path_redirects_to_the_page(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")


async def test_the_page_loads_from_this_server_only(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/docs/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 5
    for link in links:
        assert link.startswith("/")
        file = await visitor.get(link)
        assert file.status_code == 200
        assert file.content
        if link.startswith("/docs/"):
            assert file.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_a_file_of_another_version_is_not_there(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get(f"/docs/{NO_ID}/swagger-ui.css")
    assert (answer.status_code, answer.json()["message"]) == (404, "not_found")


async def test_answers_about_accounts_and_users_are_as_described(
    account: AccountClient, described: Described
) -> None:
    http, path = account.http, account.path
    child = {"name": f"below {account.account_id}", "realm": f"below.{account.realm}"}
    made = await http.put(path(), json={"data": child})
    below = f"accounts/{data_of(made, 201)['id']}"
    user = await http.put(path("users"), json={"data": PASSWORD})
    user_path = path("users", data_of(user, 201)["id"])
    answers = [
        made,
        user,
        await http.get(path()),
        await http.get(path("children")),
        await http.get(path("descendants"), params={"page_size": 1}),
        await http.post(below, json={"data": {**child, "timezone": "Europe/Berlin"}}),
        await http.patch(below, json={"data": {"wire_profile": "audian", "timezone": None}}),
        await http.delete(below),
        await http.get(path("api_key")),
        await http.get(path("users")),
        await http.get(user_path),
        await http.patch(user_path, json={"data": {"first_name": "Pat"}}),
        await http.post(user_path, json={"data": {**PASSWORD, "timezone": "inherit"}}),
        await http.delete(user_path),
        await http.get("token_auth"),
        await http.get(f"user_auth/{account.token}"),
        await http.delete("token_auth"),
    ]
    for answer in answers:
        assert answer.is_success, answer.text
        described.check(answer)


async def test_answers_about_boxes_are_as_described(
    account: AccountClient, described: Described
) -> None:
    http, path = account.http, account.path
    made = await http.put(path("vmboxes"), json={"data": sample_requests.NEW_VMBOX})
    box = path("vmboxes", data_of(made, 201)["id"])
    audian = {"profile": "audian"}
    answers = [
        made,
        await http.get(path("vmboxes")),
        await http.get(path("vmboxes"), params=audian),
        await http.get(path("vmboxes"), params={"paginate": "false"}),
        await http.get(box),
        await http.get(box, headers={"If-None-Match": made.headers["etag"]}),
        await http.head(box),
        await http.patch(box, json={"data": {"name": "Front desk", "pin": None}}),
        await http.patch(box, params=audian, json={"data": {"owner_id": "u1"}}),
        await http.post(box, json={"data": sample_requests.NEW_VMBOX}),
        await http.delete(box),
    ]
    for answer in answers:
        assert answer.status_code < 400, answer.text
        described.check(answer)


async def test_answers_about_messages_are_as_described(
    account: AccountClient, described: Described
) -> None:
    http, path = account.http, account.path
    vmbox_id, other_id = await account.a_vmbox(), await account.a_vmbox()
    messages = path("vmboxes", vmbox_id, "messages")
    whole = await http.put(
        messages, **multipart(b"audio", "audio/mpeg", sample_requests.NEW_MESSAGE)
    )
    first = f"{messages}/{data_of(whole, 201)['media_id']}"
    alone = await http.put(messages, json={"data": {"timestamp": "2024-05-15T11:39:26Z"}})
    second = f"{messages}/{data_of(alone, 201)['media_id']}"
    ids = [data_of(whole, 201)["media_id"]]
    old = {"created_from": "63882900000", "created_to": "63883000000"}
    answers = [
        whole,
        alone,
        await http.put(second + "/raw", **multipart(b"audio", "audio/wav", {})),
        await http.get(messages, params={"page_size": 1}),
        await http.get(messages, params=old),
        await http.get(messages, params={"profile": "audian"}),
        await http.get(path("vmboxes", "messages")),
        await http.get(first),
        await http.get(first, params={"profile": "audian"}),
        await http.get(first + "/raw"),
        await http.head(first + "/raw"),
        await http.get(first + "/raw", headers={"Range": "bytes=0-1"}),
        await http.post(messages + "/raw", json={"data": {"messages": ids}}),
        await http.post(first, json={"data": {"folder": "saved"}}),
        await http.post(first, json={"data": {"source_id": [other_id]}}),
        await http.post(f"{first}/forward", json={"data": {"source_id": [other_id, NO_ID]}}),
        await http.post(messages, json={"data": {"messages": [*ids, NO_MESSAGE]}}),
        await http.delete(first),
        await http.request("DELETE", messages, json={"data": {"folder": "new"}}),
    ]
    for answer in answers:
        assert answer.is_success, answer.text
        described.check(answer)


async def test_answers_about_greetings_are_as_described(
    account: AccountClient, described: Described
) -> None:
    http, path = account.http, account.path
    made = await http.put(path("media"), json={"data": sample_requests.NEW_GREETING})
    greeting = path("media", data_of(made, 201)["id"])
    media = {"unavailable": data_of(made, 201)["id"]}
    playing = path("vmboxes", await account.a_vmbox(media=media), "greeting")
    answers = [
        made,
        await http.put(greeting + "/raw", **multipart(b"audio", "audio/mpeg", {})),
        await http.post(greeting + "/raw", **multipart(b"audio", "audio/mpeg", {})),
        await http.get(path("media")),
        await http.get(greeting),
        await http.get(greeting + "/raw"),
        await http.get(playing),
        await http.get(playing + "/raw", params={"busy": "true"}),
        await http.delete(playing.removesuffix("/greeting")),
        await http.post(greeting, json={"data": sample_requests.NEW_GREETING}),
        await http.patch(greeting, json={"data": {"description": None}}),
        await http.delete(greeting),
    ]
    for answer in answers:
        assert answer.is_success, answer.text
        described.check(answer)


async def test_refusals_are_as_described(
    account: AccountClient, service: RunningService, described: Described
) -> None:
    http, path = account.http, account.path
    vmbox_id = await account.a_vmbox(mailbox="3000", max_message_count=1)
    box = path("vmboxes", vmbox_id)
    await account.leave(vmbox_id)
    async with service.client("no token") as stranger:
        refused = [
            await stranger.get(box),
            await stranger.put("api_auth", json={"data": {"api_key": sample_requests.API_KEY}}),
            await stranger.put("user_auth", json={"data": {"credentials": "0badc0de" * 4}}),
        ]
    refused += [
        await http.get(f"accounts/{service.root_id}/vmboxes"),
        await http.get(path("vmboxes", NO_ID)),
        await http.get(path("vmboxes"), params={"page_size": 0}),
        await http.get(box, headers={"Accept": "text/html"}),
        await http.get(box, headers={"If-Match": '"0"'}),
        await http.put(path("vmboxes"), json={"data": {"mailbox": "3000", "pin": "1"}}),
        await http.put(path("vmboxes"), content=b"{"),
        await http.put(path("vmboxes"), content=b"<", headers={"Content-Type": "text/xml"}),
        await http.put(path("vmboxes"), json={"data": {"text": "x" * 2_000_000}}),
        await http.put(box + "/messages", **multipart(b"audio", "audio/mpeg", {})),
        await http.post(box + "/messages", json={"data": {}}),
        await http.get(f"{box}/messages/{NO_MESSAGE}/raw"),
        await http.post(box + "/messages/raw", json={"data": {"messages": [NO_MESSAGE]}}),
    ]
    record = {answer.status_code for answer in refused}
    assert record == {400, 401, 403, 404, 406, 409, 412, 413, 415}
    for answer in refused:
        described.check(answer)
