"""Access log: one line per request, without personal data."""

import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from service.api.middleware.access_log import RequestRecord, line_of
from tests.contract.mailboxes import mailbox_client
from tests.support.running import AccountClient, multipart
from tests.support.waiting import wait_until

MESSAGES = "/v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages"
FIELDS = {
    *("request_id", "method", "route", "status", "duration_ms", "request_bytes", "response_bytes"),
    *("account_id", "event", "level", "logger", "timestamp", "process"),
}


async def logged(account: AccountClient, request_id: str) -> dict[str, Any]:
    """Returns the log line of a request, which is written shortly after the response."""
    log = account.service.folder / "api.log"
    results: list[dict[str, Any]] = []

    async def is_written() -> bool:
        lines = [line for line in log.read_bytes().splitlines() if request_id.encode() in line]
        results[:] = map(msgspec.json.decode, lines)
        return bool(results)

    await wait_until(is_written)
    [line] = results
    assert line.keys() == FIELDS
    return line


async def test_a_stored_message_is_a_line_with_its_route_sizes_and_account(
    account: AccountClient,
) -> None:
    path, name = account.path("vmboxes", await account.a_vmbox(), "messages"), uuid4().hex
    body = multipart(b"a" * 1000, "audio/mpeg", {"caller_id_name": "Jane Logged"})
    headers = {"X-Request-ID": name, "User-Agent": "Jane's phone"}
    answer = await account.http.put(f"{path}?profile=kazoo", headers=headers, **body)
    line = await logged(account, name)
    logged_fields = {
        key: line[key] for key in ("event", "level", "method", "route", "status", "account_id")
    }
    assert logged_fields == {
        "event": "request completed",
        "level": "info",
        "method": "PUT",
        "route": MESSAGES,
        "status": answer.status_code,
        "account_id": account.account_id,
    }
    assert line["request_bytes"] == int(answer.request.headers["content-length"])
    assert line["response_bytes"] == len(answer.content)
    assert 0 < line["duration_ms"] < 60_000
    assert "Jane" not in str(line)
    assert "profile" not in str(line)


async def test_a_path_that_matches_no_route_is_not_logged(account: AccountClient) -> None:
    name = uuid4().hex
    await account.http.request("BREW", "+4917012345/secret", headers={"X-Request-ID": name})
    line = await logged(account, name)
    assert (line["method"], line["route"], line["status"]) == ("_OTHER", "none", 404)
    assert (line["level"], line["account_id"]) == ("info", None)


async def test_a_refused_caller_has_no_account_and_a_tunnelled_verb_is_the_method(
    account: AccountClient,
) -> None:
    async with account.service.client("no token") as nobody:
        await nobody.get(account.path("vmboxes"), headers={"X-Request-ID": (name := uuid4().hex)})
    refused = await logged(account, name)
    assert (refused["status"], refused["account_id"]) == (401, None)
    path = account.path("vmboxes", await account.a_vmbox())
    await account.http.post(f"{path}?verb=DELETE", headers={"X-Request-ID": (name := uuid4().hex)})
    tunnelled = await logged(account, name)
    assert (tunnelled["method"], tunnelled["status"]) == ("DELETE", 200)


async def test_the_mailbox_dialect_is_logged_in_the_same_way(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    await voip.get("/voip/mailbox/?page=1", headers={"X-Request-ID": (name := uuid4().hex)})
    line = await logged(account, name)
    assert line["route"].startswith("/voip/")
    assert line["account_id"] == account.account_id
    async with mailbox_client(account.service) as nobody:
        await nobody.get("/voip/mailbox", headers={"X-Request-ID": (name := uuid4().hex)})
    assert (await logged(account, name))["account_id"] is None


@pytest.fixture
def warnings_only() -> Iterator[None]:
    logger = logging.getLogger("service.api.middleware.access_log")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


@pytest.mark.usefixtures("warnings_only")
@pytest.mark.parametrize(("status", "levels"), [(200, []), (404, []), (500, ["warning"])])
def test_only_server_errors_are_warnings(status: int, levels: list[str]) -> None:
    line = line_of(RequestRecord(method="GET", started_at=0.0, status=status))
    assert [line["level"] for line in (line,) if line] == levels
