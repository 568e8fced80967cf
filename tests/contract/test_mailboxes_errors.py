"""Error responses under `/voip` and `/authenticated`, all in the same envelope."""

import asyncio
import gzip

import httpx
import pytest

from tests.contract.mailboxes import a_mailbox, as_json, errors, mailbox_client, refused, result
from tests.contract.wire import NO_ID, exchange, golden, no_fault_logged
from tests.support.running import AccountClient, RunningService

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What the routes leave out.
NOT_ALLOWED = {
    "/voip/mailbox": ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"),
    f"/voip/mailbox/{NO_ID}": ("POST", "PATCH", "OPTIONS"),
    f"/voip/mailbox/{NO_ID}/messages": ("POST", "PUT", "PATCH", "DELETE"),
    f"/voip/mailbox/{NO_ID}/messages/202601-{NO_ID}": ("POST", "PUT", "PATCH"),
    f"/voip/mailbox/{NO_ID}/messages/202601-{NO_ID}/audio": ("POST", "PUT", "PATCH", "DELETE"),
    f"/voip/mailbox/{NO_ID}/recipients": ("PUT", "PATCH", "DELETE"),
    f"/voip/mailbox/{NO_ID}/recipients/{NO_ID}": ("GET", "POST", "PUT", "PATCH"),
    "/authenticated": ("POST", "PUT", "PATCH", "DELETE"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path", ["/voip", "/voip/", "/voip/mailboxes", "/voip/mailbox/x/y", "/authenticated/x"]
)
async def test_an_unknown_path_is_a_404_in_this_envelope(
    voip: httpx.AsyncClient, method: str, path: str
) -> None:
    golden("mailboxes/unknown", await voip.request(method, path), {})


@pytest.mark.parametrize("path", ["/voipp", "/authenticatedx", "/v2/voip/mailbox", "/nowhere"])
async def test_other_paths_use_the_kazoo_envelope(voip: httpx.AsyncClient, path: str) -> None:
    envelope = (await voip.get(path)).json()
    assert (envelope["error"], envelope["message"]) == ("404", "not_found")


@pytest.mark.parametrize("path", NOT_ALLOWED)
async def test_an_unsupported_method_is_a_405_in_this_envelope(
    voip: httpx.AsyncClient, path: str
) -> None:
    for method in NOT_ALLOWED[path]:
        answer = await voip.request(method, path)
        refused(answer, 405, "Method Not Allowed")
        assert "GET" in answer.headers["allow"] or path.endswith(f"/recipients/{NO_ID}")


async def test_a_trailing_slash_is_ignored(voip: httpx.AsyncClient) -> None:
    mailbox_id = await a_mailbox(voip)
    for path in ("/voip/mailbox", f"/voip/mailbox/{mailbox_id}", "/authenticated"):
        assert (await voip.get(f"{path}/")).json() == (await voip.get(path)).json()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"[]",
        b'"name"',
        b"1",
        b"null",
        b'{"name": "\\u0000"}',
        b"\xff",
        b"[" * 200,
    ],
)
async def test_a_body_that_is_not_an_object_gives_an_empty_result(
    voip: httpx.AsyncClient, body: bytes
) -> None:
    mailbox_id = await a_mailbox(voip)
    for method, path in (
        ("POST", "/voip/mailbox"),
        ("PUT", f"/voip/mailbox/{mailbox_id}"),
        ("POST", f"/voip/mailbox/{mailbox_id}/recipients"),
    ):
        golden("mailboxes/refused", await voip.request(method, path, **as_json(body)), {})


async def test_a_body_of_another_type_is_a_415(voip: httpx.AsyncClient) -> None:
    for content_type in ("text/plain", "multipart/form-data; boundary=x", "audio/mpeg"):
        answer = await voip.post(
            "/voip/mailbox", content=b'{"name": "X"}', headers={"Content-Type": content_type}
        )
        refused(answer, 415, "Unsupported Media Type")
        assert answer.headers["accept"] == "application/json"
    gzipped = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await voip.post(
        "/voip/mailbox", content=gzip.compress(b'{"name": "X"}'), headers=gzipped
    )
    refused(answer, 415, "Unsupported Media Type")
    assert answer.headers["accept-encoding"] == "identity"
    assert result(await voip.get("/voip/mailbox")) == []


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "APPLICATION/JSON",
    ],
)
async def test_json_is_accepted_under_the_types_that_clients_send(
    voip: httpx.AsyncClient, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await voip.post("/voip/mailbox", content=b'{"name": "X"}', headers=headers)
    assert result(answer, 201)["name"] == "X"


async def test_a_body_that_is_too_large_is_refused_and_stores_nothing(
    voip: httpx.AsyncClient,
) -> None:
    for size in (1_048_577, 3_000_000):
        body = b'{"name": "X", "ignored": "' + b"x" * size + b'"}'
        refused(await voip.post("/voip/mailbox", **as_json(body)), 413, "Payload Too Large")
    assert result(await voip.get("/voip/mailbox")) == []


async def test_a_recipient_that_exceeds_the_document_limit_is_a_413(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    path = f"/voip/mailbox/{await account.a_vmbox(notes='x' * 64_000)}/recipients"
    answers = [
        await voip.post(path, json={"email": f"{n}@{'x' * 200}.example.com"}) for n in range(8)
    ]
    added = [answer for answer in answers if answer.status_code == 201]
    refused(answers[-1], 413, "Payload Too Large")
    assert result(await voip.get(path)) == [result(answer, 201) for answer in added]


async def test_a_slow_body_is_a_408(service: RunningService, account: AccountClient) -> None:
    api = await service.another_api(AFTERTONE_CLIENT_GRACE_S="0.3")
    try:
        head = [
            "POST /voip/mailbox HTTP/1.1",
            f"X-Auth-Token: {account.token}",
            "Content-Type: application/json",
            "Content-Length: 100",
        ]
        answer = await exchange(api, head, b"{")
        refused(answer, 408, "Request Timeout")
    finally:
        await api.stop()


async def test_an_outage_is_a_503_with_retry_after(
    service: RunningService, account: AccountClient
) -> None:
    broken = "postgresql://aftertone@127.0.0.1:1/nowhere"
    api = await service.another_api(AFTERTONE_DATABASE_URL=broken)
    credentials = {"x_auth_reseller": "a", "x_auth_user": "b", "x_auth_password": "c"}
    try:
        async with (
            mailbox_client(api, x_auth_token=account.token) as with_token,
            mailbox_client(api, **credentials) as with_password,
        ):
            for client in (with_token, with_password):
                answer = await client.get("/voip/mailbox")
                refused(answer, 503, "Service Unavailable")
                assert int(answer.headers["retry-after"]) > 0
    finally:
        await api.stop()


async def test_hostile_input_is_refused_and_logs_no_error(
    service: RunningService, voip: httpx.AsyncClient
) -> None:
    async with no_fault_logged(service):
        for path in (
            "/voip/mailbox/%00",
            "/voip/mailbox/%F0%28%8C%BC",
            f"/voip/mailbox/{'9' * 3000}",
            f"/voip/mailbox/{NO_ID}/messages/999999-{NO_ID}",
            f"/voip/mailbox/{NO_ID}/messages/202613-{NO_ID}",
            f"/voip/mailbox/{NO_ID}/recipients/..%2F..",
        ):
            answers = await asyncio.gather(*(voip.request(method, path) for method in METHODS))
            assert {answer.status_code for answer in answers} <= {404, 405}
        mailbox_id = await a_mailbox(voip)
        for name in ("\ud800", "x\x00"):
            body = as_json(b'{"name": "' + name.encode("utf-8", "surrogatepass") + b'"}')
            refused(await voip.put(f"/voip/mailbox/{mailbox_id}", **body), 400, "Bad Request")
        for query in ("limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=1e3"):
            answer = await voip.get(f"/voip/mailbox/{mailbox_id}/messages?{query}")
            assert errors(answer) == {"limit": "format"}


async def test_a_preflight_allows_this_dialects_headers(voip: httpx.AsyncClient) -> None:
    parameters = {"Origin": "https://example.com", "Access-Control-Request-Method": "PUT"}
    answer = await voip.options("/voip/mailbox", headers=parameters)
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert {"x-auth-reseller", "x-auth-user", "x-auth-password", "x-auth-for"} <= allowed
