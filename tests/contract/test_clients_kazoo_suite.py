"""KAZOO's own test suite as a client: what its sequences about voicemail, greetings and Basic
authentication send and expect, from its public source (4.3 and 5.x)."""

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest_asyncio

from service.api.kazoo.times import gregorian
from tests.contract.wire import problems, refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, data_of

_JSON = {"accept": "application/json", "content-type": "application/json"}
# Oldest first: the older month, then this one. The letters are the folders.
_OLDER, _RECENT = "nsns", "nsnssnsns"


@pytest_asyncio.fixture(loop_scope="session")
async def suite(account: AccountClient) -> AsyncIterator[httpx.AsyncClient]:
    """Every request declares JSON, both ways, also where it has no body."""
    headers = {**_JSON, "x-auth-token": account.token, "x-request-id": "suite-1"}
    async with httpx.AsyncClient(
        base_url=f"{account.service.url}/v2/", headers=headers, timeout=30
    ) as client:
        yield client


def _new_message(call_id: str, folder: str, timestamp: int) -> dict[str, Any]:
    """Sends the folder in a nested object too, in parts with lower-case headers and no names."""
    known = {"call_id": call_id, "folder": folder, "timestamp": timestamp}
    nested = {**known, "caller_id_name": "suite", "caller_id_number": "suite", "length": 0}
    parts = (
        (b"application/json", msgspec.json.encode({"data": {**known, "metadata": nested}})),
        (b"audio/mp3", an_mp3()),
    )
    body = b"".join(
        b"\r\n--suite\r\ncontent-type: " + kind + b"\r\n\r\n" + content for kind, content in parts
    )
    return {
        "content": body + b"\r\n--suite--",
        "headers": {"content-type": "multipart/mixed; boundary=suite"},
    }


async def _fill(suite: httpx.AsyncClient, messages: str) -> list[tuple[str, str]]:
    """Stores messages of two months. Returns their ids and folders, newest first."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    beginnings = [(today - timedelta(days=30), _OLDER), (today - timedelta(days=1), _RECENT)]
    made: list[tuple[str, str]] = []
    for beginning, letters in beginnings:
        for minute, letter in enumerate(letters):
            call_id, folder = f"{len(made)}-call", {"n": "new", "s": "saved"}[letter]
            at = gregorian(beginning + timedelta(minutes=minute))
            left = await suite.put(messages, **_new_message(call_id, folder, at))
            assert data_of(left, 201)["media_id"]
            made.append((call_id, folder))
    return made[::-1]


async def test_filtered_pages_are_full(account: AccountClient, suite: httpx.AsyncClient) -> None:
    path = account.path("vmboxes")
    named = {"name": "9f3c1a22", "mailbox": "9f3c1a22"}
    box = data_of(await suite.put(path, json={"data": named}), 201)
    messages = f"{path}/{box['id']}/messages"
    made = await _fill(suite, messages)
    everything = [call_id for call_id, _ in made]
    unsaved = [call_id for call_id, folder in made if folder != "saved"]

    async def record(**query: Any) -> tuple[list[str], dict[str, Any]]:
        envelope = (await suite.get(f"{messages}?", params=query)).json()
        assert envelope["status"] == "success"
        assert envelope.get("page_size", len(envelope["data"])) == len(envelope["data"])
        return [row["call_id"] for row in envelope["data"]], envelope

    kept = {"filter_not_folder": "saved"}
    first, envelope = await record(page_size=5, **kept)
    rest, _ = await record(page_size=5, start_key=envelope["next_start_key"], **kept)
    assert (len(first), first + rest) == (5, unsaved)
    for query, expected in (
        (kept, unsaved),
        ({}, everything),
        ({"paginate": "false"}, everything),
        ({"paginate": "false", **kept}, unsaved),
    ):
        assert (await record(**query))[0] == expected

    gone = (await suite.delete(f"{path}/{box['id']}")).json()
    assert (gone["data"]["id"], gone["data"]["name"]) == (box["id"], box["name"])
    assert gone["data"]["_read_only"]["deleted"] is gone["metadata"]["deleted"] is True


async def test_boxes_share_neither_numbers_nor_aliases(
    account: AccountClient, suite: httpx.AsyncClient
) -> None:
    async def made(mailbox: str, *aliases: str) -> httpx.Response:
        box = {"name": "box", "mailbox": mailbox, "aliases": list(aliases)}
        return await suite.put(account.path("vmboxes"), json={"data": box})

    data_of(await made("1a2b", "c3d4"), 201)
    for taken in (("1a2b",), ("c3d4",), ("e5f6", "c3d4"), ("e5f6", "1a2b")):
        assert problems(await made(*taken))["mailbox"]["unique"]["message"]


async def test_a_greeting_is_posted_and_read_as_it_is(
    account: AccountClient, suite: httpx.AsyncClient
) -> None:
    path = account.path("media")
    media_id = data_of(await suite.put(path, json={"data": {"name": "a1b2c3"}}), 201)["id"]
    raw = f"{path}/{media_id}/raw"
    posted = await suite.post(raw, content=an_mp3(), headers={"content-type": "audio/mp3"})
    assert data_of(posted, 200)["id"] == media_id
    assert posted.headers["content-type"] == "application/json"
    read = await suite.get(raw, headers={"accept": "audio/mp3"})
    assert (read.headers["content-type"], read.content) == ("audio/mp3", an_mp3())
    data_of(await suite.delete(f"{path}/{media_id}"), 200)
    assert data_of(await suite.get(path)) == []


async def test_basic_authentication_works_from_a_browser_and_reaches_no_parent(
    account: AccountClient, suite: httpx.AsyncClient
) -> None:
    users = account.path("users")
    user = {"username": "ab12cd", "password": "ef34ab56"}
    data_of(await suite.put(users, json={"data": user}), 201)
    digest = hashlib.md5(b"ab12cd:ef34ab56", usedforsecurity=False).hexdigest()
    coded = b64encode(f"{account.account_id}:{digest}".encode()).decode()
    cors = {
        "Origin": "http://localhost:2600",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "Content-Type, Accept, Authorization",
    }
    async with httpx.AsyncClient(base_url=suite.base_url, timeout=30) as browser:
        preflight = await browser.options(users, headers=cors)
        assert (preflight.status_code, preflight.content) == (200, b"")
        assert "authorization" in preflight.headers["access-control-allow-headers"].split(", ")
        parameters = {**_JSON, **cors, "Authorization": f"Basic {coded}"}
        rows = data_of(await browser.get(users, headers=parameters))
        assert [row["username"] for row in rows] == ["ab12cd"]
        root = await browser.get(f"accounts/{'0' * 32}/vmboxes", headers=parameters)
        assert (root.status_code, root.json()["message"]) == (403, "forbidden")
        wrong = {**parameters, "Authorization": f"Basic {coded[::-1]}"}
        refusal(await browser.get(users, headers=wrong), 401, "invalid_credentials")
