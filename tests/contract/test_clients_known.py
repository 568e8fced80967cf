"""Clients that are known to exist but cannot be run here: tests that send what they send.

2600Hz's Monster UI (its `jquery.kazoosdk.js` and voicemail app), the PHP SDK (Guzzle), the Ruby SDK
(Faraday), and the audio elements of browsers, from their public sources.
"""

import hashlib
import io
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import httpx
import msgspec
import pytest

from tests.contract.wire import ago, refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of

_UI = {"version": "4.3-152", "ui": "monster-ui", "origin": "voicemails"}


class Monster:
    """Client like `jquery.kazoosdk.js`: jQuery's Accept, no cache, metadata in every body."""

    def __init__(self, service: RunningService) -> None:
        self.client = httpx.AsyncClient(
            base_url=f"{service.url}/v2/",
            headers={
                "Accept": "application/json, text/javascript, */*; q=0.01",
                "Origin": "https://ui.example.com",
                "X-Kazoo-Cluster-ID": uuid4().hex,
            },
        )

    async def __aenter__(self) -> "Monster":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def sign_in(self, user: Mapping[str, str], account_name: str) -> dict[str, Any]:
        digest = hashlib.md5(  # noqa: S324 - the protocol's
            f"{user['username']}:{user['password']}".encode()
        )
        answer = await self.write(
            "PUT", "user_auth", credentials=digest.hexdigest(), account_name=account_name
        )
        self.client.headers["X-Auth-Token"] = answer.json()["auth_token"]
        result: dict[str, Any] = data_of(answer, 201)
        return result

    async def read(self, path: str, **filters: Any) -> Any:
        """Sends a GET with the number that prevents an answer from the cache of a browser."""
        params = {**filters, "_": int(time.time() * 1000)}
        return data_of(await self.client.get(path, params=params))

    async def write(self, method: str, path: str, **data: Any) -> httpx.Response:
        """Every other method has a body, DELETE too."""
        body = msgspec.json.encode({"data": {**data, "ui_metadata": _UI}})
        headers = {"Content-Type": "application/json"}
        return await self.client.request(method, path, content=body, headers=headers)


async def a_user(account: AccountClient) -> dict[str, str]:
    user = {"username": "ann", "password": uuid4().hex, "priv_level": "admin"}
    data_of(await account.http.put(account.path("users"), json={"data": user}), 201)
    return user


def name_of(account: AccountClient) -> str:
    return account.realm.removesuffix(".example")


async def test_monster_ui_shows_files_moves_and_removes_voicemails(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(name="Desk", mailbox="3000")
    target = await account.a_vmbox(name="Door", mailbox="3001")
    ids = [await account.leave(vmbox_id, timestamp=ago(hours=n)) for n in range(1, 4)]
    messages = account.path("vmboxes", vmbox_id, "messages")
    async with Monster(account.service) as ui:
        signed_in = await ui.sign_in(await a_user(account), name_of(account))
        assert signed_in["account_id"] == account.account_id
        rows = await ui.read(account.path("vmboxes"), paginate="false")
        assert [(row["name"], row["messages"]) for row in rows] == [
            ("Desk", 3),
            ("Door", 0),
        ]

        response = await ui.read(messages)
        assert [row["media_id"] for row in response] == ids
        assert all("@" in row["to"] and "@" in row["from"] for row in response)
        days = {"created_from": ago(days=30), "created_to": ago(days=-1)}
        assert await ui.read(messages, **days) == response

        filed = await ui.write("POST", messages, messages=ids[:2], folder="saved")
        assert data_of(filed) == {"succeeded": ids[:2], "failed": []}
        moved = await ui.write("POST", messages, messages=ids[1:2], source_id=target)
        assert len(data_of(moved)["succeeded"]) == 1
        removed = await ui.write("DELETE", messages, messages=ids[:1])
        assert data_of(removed) == {"succeeded": ids[:1], "failed": []}
        assert [row["media_id"] for row in await ui.read(messages)] == ids[2:]
        first = await ui.write("DELETE", f"{messages}/{ids[2]}")
        assert data_of(first)["folder"] == "deleted"
    assert await account.counts(target) == {"new": 1, "saved": 0}


async def test_monster_ui_writes_a_box_with_its_metadata(account: AccountClient) -> None:
    async with Monster(account.service) as ui:
        await ui.sign_in(await a_user(account), name_of(account))
        path = account.path("vmboxes")
        made = data_of(await ui.write("PUT", path, name="Desk", mailbox="3000"), 201)
        assert made["ui_metadata"] == _UI
        box = await ui.read(f"{path}/{made['id']}")
        changed = await ui.write("POST", f"{path}/{made['id']}", **{**box, "require_pin": True})
        assert data_of(changed) == {**box, "require_pin": True}
        patched = await ui.write("PATCH", f"{path}/{made['id']}", pin="0012")
        assert data_of(patched)["pin"] == "0012"
        deleted = await ui.write("DELETE", f"{path}/{made['id']}")
        assert data_of(deleted)["_read_only"] == {"deleted": True}


async def test_a_removal_by_monster_ui_without_a_choice_removes_nothing(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id)
    async with Monster(account.service) as ui:
        await ui.sign_in(await a_user(account), name_of(account))
        path = account.path("vmboxes", vmbox_id, "messages")
        nothing = await ui.write("DELETE", path, messages=[])
    assert data_of(nothing) == {"succeeded": [], "failed": []}
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_a_browser_lets_monster_ui_send_its_headers(account: AccountClient) -> None:
    """Sends the preflight request of a browser for another origin."""
    requested = "content-type,x-auth-token,x-kazoo-cluster-id"
    async with httpx.AsyncClient() as client:
        answer = await client.options(
            f"{account.service.url}/v2/{account.path('vmboxes')}",
            headers={
                "Origin": "https://ui.example.com",
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": requested,
            },
        )
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert set(requested.split(",")) <= set(allowed)
    assert "PUT" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("browser", "steps"),
    [
        # Safari looks at two bytes first and plays nothing unless it gets just those.
        ("Safari", [("bytes=0-1", 0, 1), ("bytes=0-{last}", 0, None), ("bytes=900-", 900, None)]),
        ("Chrome", [("bytes=0-", 0, None), ("bytes=1000-", 1000, None)]),
        ("Firefox", [("bytes=0-", 0, None), ("bytes=500-", 500, None)]),
    ],
)
async def test_an_audio_element_plays_and_seeks(
    account: AccountClient, browser: str, steps: list[tuple[str, int, int | None]]
) -> None:
    sound = an_mp3()
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, sound)
    path = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    # Older Monster UIs ask for a folder here, too: to read is to change nothing.
    url = f"{account.service.url}/v2/{path}?auth_token={account.token}&folder=saved"
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "identity;q=1, *;q=0" if browser == "Chrome" else "identity",
        "Referer": "https://ui.example.com/",
        "Sec-Fetch-Dest": "audio",
    }
    async with httpx.AsyncClient() as client:
        for requested, first, last in steps:
            end = len(sound) - 1 if last is None else last
            expected = {"Range": requested.format(last=len(sound) - 1)}
            answer = await client.get(url, headers=headers | expected)
            assert answer.status_code == 206
            assert answer.headers["content-range"] == f"bytes {first}-{end}/{len(sound)}"
            assert answer.headers["content-type"] == "audio/mpeg"
            assert "content-encoding" not in answer.headers
            assert answer.content == sound[first : end + 1]
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_the_php_sdk_signs_in_by_realm_and_saves_boxes(account: AccountClient) -> None:
    """Guzzle gives a text no content type; a new entity lies at the collection with a slash."""
    user = await a_user(account)
    credentials = hashlib.md5(  # noqa: S324 - the protocol's
        f"{user['username']}:{user['password']}".encode()
    ).hexdigest()
    agent = {"User-Agent": "kazoo-php-sdk (http://github.com/2600hz/kazoo-php-sdk)"}
    async with httpx.AsyncClient(base_url=f"{account.service.url}/v2/", headers=agent) as php:

        async def sent(method: str, path: str, data: Any, status: int = 200) -> Any:
            content = msgspec.json.encode({"data": data})
            return data_of(await php.request(method, path, content=content), status)

        content = msgspec.json.encode(
            {"data": {"credentials": credentials, "realm": account.realm}}
        )
        signed_in = await php.put("user_auth", content=content)
        assert data_of(signed_in, 201)["account_id"] == account.account_id
        php.headers["X-Auth-Token"] = signed_in.json()["auth_token"]

        made = await sent("PUT", account.path("vmboxes/"), {"name": "Desk", "mailbox": "3000"}, 201)
        path = account.path("vmboxes", made["id"])
        saved = await sent("POST", path, {**made, "name": "Front desk"})
        assert saved == {**made, "name": "Front desk"} == data_of(await php.get(path))
        response = await php.get(account.path("vmboxes/"), params={"filter_mailbox": "3000"})
        assert [row["id"] for row in data_of(response)] == [made["id"]]
        assert data_of(await php.delete(path))["id"] == made["id"]


@asynccontextmanager
async def ruby_sdk(account: AccountClient) -> AsyncIterator[httpx.AsyncClient]:
    """Faraday, signed in; its connection has a header for the token before there is one."""
    user = await a_user(account)
    digest = hashlib.sha1(  # noqa: S324 - the protocol's
        f"{user['username']}:{user['password']}".encode()
    )
    credentials = {
        "credentials": digest.hexdigest(),
        "account_name": name_of(account),
        "method": "sha",
    }
    headers = {"User-Agent": "Faraday v1.10.3", "X-Auth-Token": ""}
    async with httpx.AsyncClient(base_url=account.service.url, headers=headers) as client:
        signed_in = await client.put("v2/user_auth", json={"data": credentials})
        assert data_of(signed_in, 201)["account_id"] == account.account_id
        client.headers["X-Auth-Token"] = signed_in.json()["auth_token"]
        yield client


async def test_the_ruby_sdk_reads_the_record_of_its_token(account: AccountClient) -> None:
    async with ruby_sdk(account) as ruby:
        record = data_of(await ruby.get(f"v2/user_auth/{ruby.headers['X-Auth-Token']}"))
        assert (record["account_id"], record["account_name"]) == (
            account.account_id,
            name_of(account),
        )


async def test_the_ruby_sdk_takes_a_zip(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    ids = [await account.leave(vmbox_id, an_mp3(), caller_id_number=f"600{n}") for n in range(2)]
    messages = f"v2/{account.path('vmboxes', vmbox_id, 'messages')}"
    body, headers = {"data": {"messages": ids}}, {"Accept": "application/zip"}
    async with ruby_sdk(account) as ruby:
        archive = await ruby.post(f"{messages}/raw", json=body, headers=headers)
        assert archive.headers["content-type"] == "application/zip"
        with ZipFile(io.BytesIO(archive.content)) as entries:
            assert [entries.read(name) for name in entries.namelist()] == [an_mp3(), an_mp3()]
        # For one message it asks where there is GET and PUT alone.
        first = await ruby.post(f"{messages}/{ids[0]}/raw", json=body, headers=headers)
        refusal(first, 405, "invalid_method")
        assert set(data_of(await ruby.delete(messages))["succeeded"]) == set(ids)
