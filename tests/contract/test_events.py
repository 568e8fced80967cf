"""Events over HTTP: pages of JSON and a live stream, both from a cursor."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.contract.wire import problems
from tests.support.relay import a_box, all_sent, append
from tests.support.running import AccountClient
from tests.support.waiting import DEADLINE_S, wait_until

STREAM = {"Accept": "text/event-stream"}


async def _page(account: AccountClient, *parts: str, **query: Any) -> dict[str, Any]:
    answer = await account.http.get(account.path(*parts, "events"), params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def _published(account: AccountClient, since: str, expected: int) -> dict[str, Any]:
    """The page after `since` once the relay has published as many events."""
    pages: list[dict[str, Any]] = []

    async def is_published() -> bool:
        pages.append(await _page(account, since=since))
        return len(pages[-1]["data"]) >= expected

    await wait_until(is_published)
    return pages[-1]


@asynccontextmanager
async def _following(
    account: AccountClient, *parts: str, name: str | None = None, **headers: str
) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    path, query = account.path(*parts, "events"), {"event": name} if name else {}
    headers = {**STREAM, **headers}
    async with account.http.stream("GET", path, params=query, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    event: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event
            event = {}


async def test_pages_go_on_from_their_cursor(account: AccountClient) -> None:
    begin = (await _page(account))["next_cursor"]
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    page = await _published(account, begin, 2)
    assert [event["type"] for event in page["data"]] == [
        "voicemail.vmbox.created",
        "voicemail.message.new",
    ]
    new = page["data"][1]
    assert (new["subject"], new["data"]["counts"]) == (media_id, {"new": 1, "saved": 0})
    assert "reset" not in page
    assert (await _page(account, since=page["next_cursor"]))["data"] == []
    small = await _page(account, since=begin, page_size=1)
    rest = await _page(account, since=small["next_cursor"], page_size=1)
    assert [*small["data"], *rest["data"]] == page["data"]


async def test_pages_read_while_events_come_show_each_once(account: AccountClient) -> None:
    cursor = (await _page(account))["next_cursor"]
    vmbox_id = await account.a_vmbox()
    leaving = asyncio.gather(*(account.leave(vmbox_id) for _ in range(40)))
    record: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(record) < 41:
            page = await _page(account, since=cursor)
            cursor = page["next_cursor"]
            record += [event["sequence"] for event in page["data"]]
    await leaving
    assert record == [f"{number:020}" for number in range(1, 42)]


@pytest.mark.parametrize(("events", "size", "most"), [(1_010, 0, 1_000), (50, 60_000, 40)])
async def test_a_list_without_pages_is_cut_like_any_page(
    account: AccountClient, events: int, size: int, most: int
) -> None:
    cursor = (await _page(account))["next_cursor"]
    database = await asyncpg.connect(account.service.environment["AFTERTONE_DATABASE_URL"])
    box = await a_box(database, UUID(account.account_id))
    await append(database, box, events, size)
    await all_sent(database)
    # It has no messages: recounts beside other tests are to find it right.
    await database.execute(
        "UPDATE vmbox_counts SET new_count = 0 WHERE vmbox_id = $1", box.vmbox_id
    )
    await database.close()
    record: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(record) < events:
            page = await _page(account, since=cursor, paginate="false")
            assert len(page["data"]) <= most
            cursor = page["next_cursor"]
            record += [event["sequence"] for event in page["data"]]
    assert record == [f"{number:020}" for number in range(1, events + 1)]


async def test_a_box_has_events_of_its_own(account: AccountClient) -> None:
    begin = (await _page(account))["next_cursor"]
    first, second = await account.a_vmbox(), await account.a_vmbox()
    await account.leave(second)
    await _published(account, begin, 3)
    of_first = await _page(account, "vmboxes", first, since=begin)
    assert [event["type"] for event in of_first["data"]] == ["voicemail.vmbox.created"]
    missing = await account.http.get(account.path("vmboxes", "0" * 32, "events"))
    assert missing.status_code == 404


async def test_a_stream_sends_events_and_continues_after_a_disconnect(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    async with _following(account) as events, asyncio.timeout(DEADLINE_S):
        await account.leave(vmbox_id)
        while True:
            record = await anext(events)
            if record["event"] == "voicemail.message.new":
                break
    assert json.loads(record["data"])["data"]["vmbox_id"] == vmbox_id
    await account.leave(vmbox_id, caller_id_name="missed")
    headers = {"Last-Event-ID": record["id"]}
    async with _following(account, **headers) as events, asyncio.timeout(DEADLINE_S):
        missed = json.loads((await anext(events))["data"])
        assert missed["data"]["message"]["caller_id_name"] == "missed"
        await account.leave(vmbox_id, caller_id_name="live")
        live = json.loads((await anext(events))["data"])
        assert live["data"]["message"]["caller_id_name"] == "live"


async def test_a_cursor_from_elsewhere_is_a_reset(account: AccountClient) -> None:
    epoch, number = map(int, (await _page(account))["next_cursor"].split("."))
    for since in (f"{epoch + 1}.{number}", f"{epoch}.{number + 1_000_000}"):
        assert (await _page(account, since=since))["reset"] is True
        headers = {"Last-Event-ID": since}
        async with _following(account, **headers) as events, asyncio.timeout(DEADLINE_S):
            assert (await anext(events))["event"] == "reset"


async def test_a_stream_can_give_all_events_one_name(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    epoch, number = map(int, (await _page(account))["next_cursor"].split("."))
    cursor = {"Last-Event-ID": f"{epoch}.{number + 1_000_000}"}
    async with (
        _following(account, "vmboxes", vmbox_id, name="message", **cursor) as events,
        asyncio.timeout(DEADLINE_S),
    ):
        reset = await anext(events)
        assert (reset["event"], json.loads(reset["data"])) == ("message", {"reset": True})
        record = await anext(events)
        assert record["event"] == "message"
        assert json.loads(record["data"])["type"] == "voicemail.vmbox.created"
    wrong = await account.http.get(account.path("events"), params={"event": "voicemail"})
    assert list(problems(wrong)["event"]) == ["enum"]


async def test_a_cursor_that_is_none_is_refused(account: AccountClient) -> None:
    for since in ("x", "1", "1.", ".1", "1.2.3", "-1.2", "9" * 40):
        refused = await account.http.get(account.path("events"), params={"since": since})
        assert refused.status_code == 400, since
        assert "since" in refused.json()["data"]


async def test_a_stream_ends_with_its_token(account: AccountClient) -> None:
    async with _following(account) as events, asyncio.timeout(DEADLINE_S):
        ended = await account.http.delete(f"{account.service.url}/v2/token_auth")
        assert ended.status_code == 200
        async for _ in events:
            continue
