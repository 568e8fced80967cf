"""`Authorization: Basic` with every request, as clients of KAZOO send it that never sign in."""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.contract.wire import NO_ID, refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of

PASSWORD = "geheimer"
CLEAR = f"ann:{PASSWORD}".encode()
MD5 = hashlib.md5(CLEAR, usedforsecurity=False).hexdigest()
SHA = hashlib.sha1(CLEAR, usedforsecurity=False).hexdigest()


@pytest_asyncio.fixture(loop_scope="session")
async def other(service: RunningService) -> AsyncIterator[AccountClient]:
    client = await service.an_account()
    yield client
    await client.http.aclose()


async def an_ann(account: AccountClient) -> str:
    """A user; the address of its document."""
    document = {"username": "ann", "password": PASSWORD, "priv_level": "admin"}
    made = await account.http.put(account.path("users"), json={"data": document})
    return account.path("users", data_of(made, 201)["id"])


def basic(account_id: str, credentials: str) -> dict[str, str]:
    coded = b64encode(f"{account_id}:{credentials}".encode()).decode()
    return {"Authorization": f"Basic {coded}"}


def browser(account: AccountClient, credentials: str = MD5) -> httpx.AsyncClient:
    """Sends requests like axios: an Accept header with a wildcard, JSON in every body."""
    headers = {"Accept": "application/json, text/plain, */*"}
    return httpx.AsyncClient(
        base_url=f"{account.service.url}/v2/",
        headers=headers | basic(account.account_id, credentials),
        timeout=30,
    )


async def test_a_page_lists_files_and_plays_messages_without_signing_in(
    account: AccountClient,
) -> None:
    await an_ann(account)
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, an_mp3())
    messages = account.path("vmboxes", vmbox_id, "messages")
    async with browser(account) as client:
        listed = await client.get(messages, params={"paginate": "true"})
        assert [row["media_id"] for row in data_of(listed)] == [media_id]
        assert "auth_token" not in listed.json()
        assert listed.json()["version"]
        filed = await client.post(f"{messages}/{media_id}", json={"data": {"folder": "saved"}})
        assert data_of(filed)["folder"] == "saved"
        back = await client.post(f"{messages}/{media_id}", params={"folder": "new"})
        assert data_of(back)["folder"] == "new"
        assert (await client.get(f"{messages}/{media_id}/raw")).content == an_mp3()


@pytest.mark.parametrize("credentials", [MD5, MD5.upper(), SHA], ids=["md5", "upper", "sha"])
async def test_either_hash_names_the_user(account: AccountClient, credentials: str) -> None:
    user_id = (await an_ann(account)).rpartition("/")[2]
    async with browser(account, credentials) as client:
        assert data_of(await client.get("token_auth"))["owner_id"] == user_id


async def test_credentials_of_no_account_are_refused(
    account: AccountClient, other: AccountClient
) -> None:
    await an_ann(account)
    async with httpx.AsyncClient(base_url=f"{account.service.url}/v2/", timeout=30) as client:
        for headers in (
            basic(account.account_id, MD5[::-1]),
            basic(account.account_id, PASSWORD),
            basic(other.account_id, MD5),
            basic(NO_ID, MD5),
            basic(f"ü{account.account_id[1:]}", MD5),
            {"Authorization": f"Basic {account.account_id}:{MD5}"},
            {"Authorization": "Basic"},
        ):
            answer = await client.get(account.path("vmboxes"), headers=headers)
            refusal(answer, 401, "invalid_credentials")
        value = basic(account.account_id, MD5)
        foreign = await client.get(other.path("vmboxes"), headers=value)
        assert (foreign.status_code, foreign.json()["message"]) == (403, "forbidden")
        named = {**value, "X-Auth-Account-ID": other.account_id}
        refused = await client.get(account.path("vmboxes"), headers=named)
        refusal(refused, 401, "invalid credentials")
        beside = {**value, "X-Auth-Token": "garbage"}
        refused = await client.get(account.path("vmboxes"), headers=beside)
        refusal(refused, 401, "invalid credentials")


async def test_credentials_end_with_the_password(account: AccountClient) -> None:
    user = await an_ann(account)
    async with browser(account) as client:
        assert data_of(await client.get(account.path("vmboxes"))) == []
        changed = await account.http.patch(user, json={"data": {"password": uuid4().hex}})
        assert changed.status_code == 200
        refusal(await client.get(account.path("vmboxes")), 401, "invalid_credentials")


async def test_a_stream_ends_with_the_password_too(account: AccountClient) -> None:
    user = await an_ann(account)
    stream = {"Accept": "text/event-stream"}
    async with (
        browser(account) as client,
        client.stream("GET", account.path("events"), headers=stream) as answer,
    ):
        assert answer.status_code == 200
        await account.http.delete(user)
        async with asyncio.timeout(30):
            assert [line async for line in answer.aiter_lines() if line.startswith("id")] == []
