"""Middleware: request id, path, method and CORS."""

import httpx
import pytest

from tests.contract.wire import NO_ID, NOW, a_message, refusal
from tests.support.running import AccountClient, RunningService, data_of

UNKNOWN_MESSAGE = f"{NOW:%Y%m}-{NO_ID}"


async def test_an_unknown_verb_is_refused(account: AccountClient) -> None:
    box = account.path("vmboxes", await account.a_vmbox(name="Kept"))
    for verb in ("FOO", "OPTIONS", "CONNECT"):
        body = {"data": {"name": "Changed", "mailbox": "1"}, "verb": verb}
        assert refusal(await account.http.post(box, json=body), 405, "invalid_method")
        queried = await account.http.post(box, params={"verb": verb}, json={"data": body["data"]})
        assert refusal(queried, 405, "invalid_method")
    assert data_of(await account.http.get(box))["name"] == "Kept"


async def test_a_request_id_is_returned_or_generated(account: AccountClient) -> None:
    path = account.path("vmboxes")
    response = await account.http.get(path, headers={"X-Request-ID": "call-4711 /x"})
    assert response.headers["x-request-id"] == response.json()["request_id"] == "call-4711 /x"
    refused = await account.http.get("nothing", headers={"X-Request-ID": "call-4712"})
    assert refused.headers["x-request-id"] == refused.json()["request_id"] == "call-4712"
    for bad in (b"x" * 129, b"caf\xc3\xa9"):
        made = await account.http.get(path, headers={b"X-Request-ID": bad})
        assert made.json()["request_id"] == made.headers["x-request-id"]
        assert len(made.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v2",
        "/v2/nothing",
        "/v2/accounts",
        "/v2/accounts/{A}/nothing",
        "/v2/accounts/{A}/messages",
        "/v2/accounts/{A}/vmboxes/{B}/nothing",
        "/v2/accounts/{A}/vmboxes/{B}/messages/{M}/nothing",
        "/v2/accounts/{A}/vmboxes/{B}/messages/{M}/raw/nothing",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "FOO"])
async def test_an_unknown_path_is_a_404_in_an_envelope(
    service: RunningService, path: str, method: str
) -> None:
    path = path.format(A=service.root_id, B=NO_ID, M=UNKNOWN_MESSAGE)
    async with service.client(service.root_token) as client:
        answer = await client.request(method, service.url + path)
    assert refusal(answer, 404, "not_found") == {"message": "not found"}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("vmboxes", "POST PATCH DELETE TRACE FOO OPTIONS"),
        ("vmboxes/messages", "PUT POST PATCH DELETE OPTIONS"),
        ("vmboxes/{B}", "PUT OPTIONS"),
        ("vmboxes/{B}/messages", "PATCH OPTIONS"),
        ("vmboxes/{B}/messages/{M}", "PUT PATCH OPTIONS"),
        ("vmboxes/{B}/messages/{M}/raw", "POST PATCH DELETE OPTIONS"),
    ],
)
async def test_an_unsupported_method_is_a_405_in_an_envelope(
    account: AccountClient, path: str, methods: str
) -> None:
    path = account.path(path.format(B=NO_ID, M=UNKNOWN_MESSAGE))
    for method in methods.split():
        answer = await account.http.request(method, path)
        assert refusal(answer, 405, "invalid_method") == {"message": "method not allowed"}
        assert "GET" in answer.headers["allow"]


async def test_a_trailing_slash_is_ignored(account: AccountClient) -> None:
    vmbox_id, media_id, path = await a_message(account)
    made = await account.http.put(
        account.path("vmboxes/"), json={"data": {"name": "n", "mailbox": "7"}}
    )
    location = f"/v2/{account.path('vmboxes', data_of(made, 201)['id'])}"
    assert made.headers["location"] == location
    listed = await account.http.get(account.path("vmboxes", vmbox_id, "messages/"))
    assert [row["media_id"] for row in data_of(listed)] == [media_id]
    assert data_of(await account.http.get(f"{path}/"))["media_id"] == media_id
    assert (await account.http.get(f"{path}/raw//")).content == b"audio"


async def test_a_path_may_refer_to_the_callers_account(account: AccountClient) -> None:
    own = account.http.base_url.copy_with(path="/v2/account")
    assert data_of(await account.http.get(own))["id"] == account.account_id
    body = {"data": {"name": "n", "mailbox": "7"}}
    made = await account.http.put(f"{own}/vmboxes", json=body)
    vmbox_id = data_of(made, 201)["id"]
    assert made.headers["location"] == f"/v2/{account.path('vmboxes', vmbox_id)}"


async def test_head_returns_the_headers_of_get_without_a_body(account: AccountClient) -> None:
    vmbox_id, _, path = await a_message(account)
    for route in (
        account.path(),
        account.path("api_key"),
        account.path("vmboxes"),
        account.path("vmboxes", vmbox_id),
        account.path("vmboxes", vmbox_id, "messages"),
        account.path("vmboxes", "messages"),
        path,
        f"{path}/raw",
        account.path("vmboxes", NO_ID),
    ):
        head = await account.http.head(route)
        got = await account.http.get(route)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in ("content-type", "content-length", "etag", "accept-ranges"):
            assert head.headers.get(name) == got.headers.get(name), (route, name)


@pytest.mark.parametrize(
    "header", ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]
)
async def test_a_preflight_needs_no_token(service: RunningService, header: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.options(
            f"{service.url}/v2/accounts/{NO_ID}/vmboxes", headers={header: "x"}
        )
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-max-age"] == "86400"
    allowed = _words(answer.headers["access-control-allow-headers"])
    assert {"x-auth-token", "content-type", "range", "if-match"} <= allowed


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (f"/v2/accounts/{NO_ID}/vmboxes", "GET HEAD PUT"),
        (f"/v2/accounts/{NO_ID}/vmboxes/", "GET HEAD PUT"),
        (f"/v2/account/vmboxes/{NO_ID}", "GET HEAD POST PATCH DELETE"),
        (f"/v2/accounts/{NO_ID}/vmboxes/{NO_ID}/messages", "GET HEAD PUT POST DELETE"),
        ("/v2/user_auth", "PUT"),
        ("/nothing", "GET HEAD PUT POST PATCH DELETE"),
    ],
)
async def test_a_preflight_response_lists_the_methods_of_the_path(
    service: RunningService, path: str, methods: str
) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.options(f"{service.url}{path}", headers={"Origin": "https://a.b"})
    assert answer.status_code == 200
    named = _words(answer.headers["access-control-allow-methods"])
    assert named == {"OPTIONS", *methods.split()}


async def test_every_response_has_cors_headers(account: AccountClient) -> None:
    _, _, path = await a_message(account)
    for answer in (await account.http.get(path), await account.http.get("nothing")):
        assert answer.headers["access-control-allow-origin"] == "*"
        exposed = _words(answer.headers["access-control-expose-headers"])
        assert {"x-request-id", "location", "etag"} <= exposed


def _words(header: str) -> set[str]:
    return {word.strip() for word in header.split(",")}
