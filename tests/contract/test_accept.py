"""Content negotiation: accepted bodies, acceptable responses, and the order of the checks."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.api.kazoo.accept import is_acceptable
from tests.contract.wire import NO_ID, json_part, mixed, problems, refusal
from tests.support.running import AccountClient, RunningService, data_of

MP3 = {"Content-Type": "audio/mpeg"}
JSON_BODY = b'{"data": {"name": "Other"}}'
UNSUPPORTED, UNWELCOME = "unsupported_media_type", "not_acceptable"
NOT_ACCEPTABLE = "The Accept header excludes all types of the response; allow another type"
UNTAKEN = ("text/plain", "text/csv", "application/xml", "audio/mpeg", "multipart/related", "image")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def box(service: RunningService) -> AsyncIterator[tuple[AccountClient, str, str]]:
    """A box and a message in it, which no test changes."""
    account = await service.an_account()
    vmbox_id = await account.a_vmbox()
    yield account, account.path("vmboxes", vmbox_id), await account.leave(vmbox_id)
    await account.http.aclose()


@pytest.mark.parametrize(
    ("accept", "types", "welcome"),
    [
        ("", ["application/json"], True),
        ("*/*", ["application/json"], True),
        ("application/*", ["application/json"], True),
        ("text/html, */*; q=0.1", ["application/json"], True),
        ("APPLICATION/JSON;charset=utf-8", ["application/json"], True),
        ("text/html, image/gif, *; q=.2", ["application/json"], True),
        ("text/html", ["application/json"], False),
        ("application/json;q=0, */*", ["application/json"], False),
        ("application/json; q=0.000, application/*", ["application/json"], False),
        ("*/*;q=0", ["application/json"], False),
        ("*/*;q=0, application/json;q=0.001", ["application/json"], True),
        ("application/json;q=inf", ["application/json"], True),
        ("application/json;q=1e999", ["application/json"], True),
        ("audio/*;q=0, audio/ogg", ["audio/mpeg", "audio/ogg"], True),
        (",;,/", ["application/json"], False),
        ("csv", ["application/json"], False),
    ],
)
def test_an_accept_header_is_weighed(accept: str, types: list[str], welcome: bool) -> None:
    assert is_acceptable(accept, types) is welcome


@pytest.mark.parametrize("content_type", UNTAKEN)
async def test_a_body_of_another_type_is_a_415(
    box: tuple[AccountClient, str, str], content_type: str
) -> None:
    account, path, media_id = box
    body: dict[str, Any] = {"content": JSON_BODY, "headers": {"Content-Type": content_type}}
    before = data_of(await account.http.get(path))
    requests = [
        ("PUT", account.path("vmboxes")),
        ("POST", path),
        ("PATCH", path),
        ("POST", f"{path}/messages"),
        ("POST", f"{path}/messages/{media_id}"),
        ("POST", f"{path}/messages/raw"),
        ("PUT", account.path()),
    ]
    if content_type != "audio/mpeg":
        requests += [("PUT", f"{path}/messages"), ("PUT", f"{path}/messages/{media_id}/raw")]
    for method, route in requests:
        response = await account.http.request(method, route, **body)
        data = refusal(response, 415, UNSUPPORTED)
        is_upload = method == "PUT" and "/messages" in route
        assert "application/json" in data["accepted"]
        assert ("audio/wav" in data["accepted"]) is is_upload
        assert all(name in data["message"] for name in data["accepted"])
        assert response.headers["accept"] == ", ".join(data["accepted"])
    assert data_of(await account.http.get(path)) == before


async def test_json_is_accepted_in_a_part_wherever_it_is_accepted_alone(
    account: AccountClient,
) -> None:
    other, target = await account.a_vmbox(), await account.a_vmbox()
    form: dict[str, Any] = {
        "files": [("x", ("data.json", b'{"data": {"name": "N"}}', "application/json"))]
    }
    made = mixed(json_part(name="Parts", mailbox="77"), (["Content-Type: audio/mp3"], b"unasked"))
    vmbox_id = data_of(await account.http.put(account.path("vmboxes"), **made), 201)["id"]
    path = account.path("vmboxes", vmbox_id)
    assert data_of(await account.http.patch(path, **form))["name"] == "N"
    assert data_of(await account.http.patch(path, **form))["mailbox"] == "77"
    media_id = await account.leave(other)
    moved = mixed(json_part(messages=[media_id], source_id=target))
    answer = await account.http.post(account.path("vmboxes", other, "messages"), **moved)
    assert len(data_of(answer)["succeeded"]) == 1
    nothing: dict[str, Any] = {
        "content": b"",
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    }
    assert "json" in problems(await account.http.patch(path, **nothing))


@pytest.mark.parametrize("content_type", ["text/plain", "image/png", "application/zip", ""])
async def test_a_delete_may_declare_any_type(account: AccountClient, content_type: str) -> None:
    vmbox_id = await account.a_vmbox()
    first, second = await account.leave(vmbox_id), await account.leave(vmbox_id)
    path = account.path("vmboxes", vmbox_id)
    headers = {"Content-Type": content_type}
    for route in (f"{path}/messages/{first}", path):
        if route == path:
            body = f'{{"data": {{"messages": ["{first}"]}}}}'.encode()
            answer = await account.http.request(
                "DELETE", f"{path}/messages", content=body, headers=headers
            )
            assert data_of(answer)["failed"] == [{first: "not_found"}]
            unread = await account.http.request(
                "DELETE", f"{path}/messages", content=b"no json", headers=headers
            )
            assert "json" in problems(unread)
            assert [row["media_id"] for row in await account.listed(vmbox_id)] == [second]
        answer = await account.http.request("DELETE", route, content=b"\0any", headers=headers)
        data_of(answer)


NOT_JSON = {"Accept": "text/html"}


async def test_an_answer_that_is_not_welcome_is_a_406(
    box: tuple[AccountClient, str, str],
) -> None:
    account, path, media_id = box
    for method, route in (
        ("GET", account.path("vmboxes")),
        ("HEAD", account.path("vmboxes")),
        ("GET", path),
        ("PATCH", path),
        ("DELETE", path),
        ("GET", f"{path}/messages"),
        ("GET", f"{path}/messages/{media_id}"),
        ("DELETE", f"{path}/messages/{media_id}"),
        ("PUT", account.path("vmboxes")),
        ("GET", account.path("media")),
        ("GET", account.path("vmboxes", "messages")),
        ("GET", account.path()),
        ("GET", account.path("users")),
        ("GET", "token_auth"),
        ("DELETE", "token_auth"),
        ("PUT", "api_auth"),
    ):
        answer = await account.http.request(method, route, headers=NOT_JSON)
        assert answer.status_code == 406
        if method != "HEAD":
            assert refusal(answer, 406, UNWELCOME) == {"message": NOT_ACCEPTABLE}
    assert data_of(await account.http.get(path))["id"]
    assert (await account.http.get(f"{path}/messages/{media_id}/raw")).status_code == 200


async def test_audio_and_archives_have_types_of_their_own(
    box: tuple[AccountClient, str, str],
) -> None:
    account, path, media_id = box
    raw = f"{path}/messages/{media_id}/raw"
    for accept, status in (
        ("audio/mpeg", 200),
        ("audio/webm,audio/ogg,audio/wav,audio/*;q=0.9,*/*;q=0.5", 200),
        ("application/octet-stream", 200),
        ("application/json", 406),
        ("application/zip", 406),
    ):
        answer = await account.http.get(raw, headers={"Accept": accept})
        assert answer.status_code == status, accept
        if status == 200:
            assert answer.headers["content-type"] == "audio/mpeg"
    body = {"data": {"messages": [media_id]}}
    for accept, status in (("application/zip", 200), ("*/*", 200), ("application/json", 406)):
        answer = await account.http.post(
            f"{path}/messages/raw", json=body, headers={"Accept": accept}
        )
        assert answer.status_code == status, accept


async def test_accepted_keys_may_be_in_the_query_or_the_envelope(
    box: tuple[AccountClient, str, str],
) -> None:
    account, path, media_id = box
    raw, json = f"{path}/messages/{media_id}/raw", {"Accept": "application/json"}
    response = await account.http.get(raw, params={"accept": "audio/mpeg"}, headers=json)
    assert response.status_code == 200
    refusal(await account.http.get(raw, params={"accept": "application/json"}), 406, UNWELCOME)
    for word in ("csv", "pdf", "text/csv", "é/\r\n"):
        answer = await account.http.get(path, params={"accept": word})
        refusal(answer, 406, UNWELCOME)
    named: dict[str, Any] = {"data": {}, "accept": "application/json"}
    assert (await account.http.patch(path, json=named, headers=NOT_JSON)).status_code == 200
    named["accept"] = "text/csv"
    refusal(await account.http.patch(path, json=named), 406, UNWELCOME)
    both = await account.http.patch(path, json=named, params={"accept": "application/json"})
    assert both.status_code == 200
    named["accept"] = 7
    assert (await account.http.patch(path, json=named)).status_code == 200


async def test_a_refusal_of_access_comes_before_other_errors(
    service: RunningService, box: tuple[AccountClient, str, str]
) -> None:
    _, path, _ = box
    bad: dict[str, Any] = {"content": b"{", "headers": {"Content-Type": "text/plain", **NOT_JSON}}
    async with httpx.AsyncClient(base_url=f"{service.url}/v2/") as nobody:
        refusal(await nobody.patch(path, **bad), 401, "invalid_credentials")
    other = await service.an_account()
    refusal(await other.http.patch(path, **bad), 403, "forbidden")
    refusal(await other.http.get(path, headers=NOT_JSON), 403, "forbidden")
    await other.http.aclose()


async def test_the_format_is_checked_before_the_content(
    box: tuple[AccountClient, str, str],
) -> None:
    account, path, _ = box
    unknown = account.path("vmboxes", NO_ID)
    text = {"Content-Type": "text/plain"}
    for route in (path, unknown, account.path("vmboxes", "no-id")):
        answer = await account.http.patch(route, content=b"{", headers={**text, **NOT_JSON})
        refusal(answer, 415, UNSUPPORTED)
        refusal(await account.http.patch(route, content=b"{", headers=NOT_JSON), 406, UNWELCOME)
