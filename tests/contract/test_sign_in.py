"""Sign-in of a user, description and revocation of a token, as clients of KAZOO do it."""

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.contract.described import DESCRIBED
from tests.contract.wire import WRONG_CREDENTIALS, problems, refusal, success
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

PASSWORD = "geheimnis"
CLEAR = f"Ann:{PASSWORD}".encode()
MD5 = hashlib.md5(CLEAR, usedforsecurity=False).hexdigest()
SHA = hashlib.sha1(CLEAR, usedforsecurity=False).hexdigest()


@pytest_asyncio.fixture(loop_scope="session")
async def nobody(service: RunningService) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends an empty token, as some do before they have one."""
    async with service.client("") as client:
        yield client


async def an_ann(account: AccountClient) -> str:
    document = {"username": "Ann", "password": PASSWORD, "priv_level": "admin"}
    made = await account.http.put(account.path("users"), json={"data": document})
    user_id: str = data_of(made, 201)["id"]
    return user_id


async def signed_in(client: httpx.AsyncClient, account: AccountClient, **more: Any) -> str:
    data = {"credentials": MD5, "realm": account.realm, **more}
    answer = await client.put("user_auth", json={"data": data})
    assert data_of(answer, 201)["account_id"] == account.account_id
    token: str = answer.json()["auth_token"]
    return token


async def test_both_hashes_and_every_way_to_name_the_account_sign_in(
    account: AccountClient, nobody: httpx.AsyncClient
) -> None:
    user_id = await an_ann(account)
    name = account.realm.partition(".")[0]
    for value in (
        {"credentials": MD5, "account_name": name},
        {"credentials": MD5.upper(), "account_name": name.upper(), "method": "md5"},
        {"credentials": SHA, "method": "sha", "account_realm": account.realm.upper()},
        {"credentials": MD5, "realm": account.realm, "ui_metadata": {"ui": "monster"}},
        {"credentials": MD5, "realm": "nowhere.example", "account_name": name},
        {"credentials": MD5, "phone_number": "+1555", "account_name": name},
    ):
        answer = await nobody.put("user_auth", json={"data": value})
        data = data_of(answer, 201)
        assert (data["account_id"], data["owner_id"]) == (account.account_id, user_id)
        assert data["account_name"] == name
    token = answer.json()["auth_token"]
    async with account.service.client(token) as user:
        assert data_of(await user.get(account.path("vmboxes"))) == []
        for own in (f"user_auth/{token}", "token_auth"):
            response = await user.get(own)
            assert data_of(response) == data
            assert response.json()["auth_token"] == token


async def test_all_wrong_credentials_get_the_same_answer_in_the_same_time(
    account: AccountClient, nobody: httpx.AsyncClient, service: RunningService
) -> None:
    await an_ann(account)
    other = await service.an_account()
    wrong = (
        {"credentials": "0badc0de" * 4, "realm": account.realm},
        {"credentials": MD5, "realm": account.realm, "method": "sha"},
        {"credentials": MD5, "realm": other.realm},
        {"credentials": MD5, "account_name": "nobody at all"},
        {"credentials": MD5, "phone_number": "+15551234567"},
    )
    seconds = []
    for value in wrong:
        began = time.monotonic()
        answer = await nobody.put("user_auth", json={"data": value})
        seconds.append(time.monotonic() - began)
        assert refusal(answer, 401, "invalid_credentials") == {"message": WRONG_CREDENTIALS}
    # The proof takes 20 ms of CPU: without it an answer comes in two.
    assert min(seconds) > 0.008
    await other.http.aclose()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {"credentials": "required", "account_name": "required"}),
        ({"credentials": 5, "account_name": "x"}, {"credentials": "type"}),
        ({"credentials": "x" * 65, "account_name": "x"}, {"credentials": "maxLength"}),
        ({"credentials": MD5, "account_name": "x", "method": "clear"}, {"method": "enum"}),
        ({"credentials": MD5, "realm": "x", "account_name": ""}, {"realm": "minLength"}),
    ],
)
async def test_a_sign_in_that_makes_no_sense_is_refused_without_showing_it(
    nobody: httpx.AsyncClient, data: dict[str, Any], expected: dict[str, str]
) -> None:
    answer = await nobody.put("user_auth", json={"data": data})
    details = problems(answer)
    assert (
        expected.items() <= {field: next(iter(rules)) for field, rules in details.items()}.items()
    )
    assert "x" * 65 not in answer.text


async def test_a_foreign_token_and_an_unknown_one_get_the_same_answer(
    account: AccountClient, service: RunningService
) -> None:
    for token in (service.root_token, "garbage", account.token + "x"):
        refusal(await account.http.get(f"user_auth/{token}"), 403, "forbidden")


async def test_a_token_is_enough_to_read_its_session(
    account: AccountClient, nobody: httpx.AsyncClient
) -> None:
    user_id = await an_ann(account)
    token = await signed_in(nobody, account)
    async with account.service.client(token) as user:
        expected = data_of(await user.get("token_auth"))
        assert (expected["account_id"], expected["owner_id"]) == (account.account_id, user_id)
        body = {"data": {"token": token}}
        for answer in (
            await nobody.post("auth/tokeninfo", json=body),
            await user.post("auth/tokeninfo", json=body),
            await nobody.post(
                "auth/tokeninfo", json=body, headers={"X-Auth-Token": "one that has expired"}
            ),
            await nobody.get("auth/tokeninfo", params={"token": token}),
            await user.get("auth/tokeninfo"),
            await user.get(account.path("user_auth", token)),
        ):
            assert success(answer, token)["data"] == expected
            DESCRIBED.check(answer)


async def test_a_token_of_another_account_is_not_described(
    account: AccountClient, nobody: httpx.AsyncClient, service: RunningService
) -> None:
    other = await service.an_account()
    vmbox_id = await account.a_vmbox()
    message = account.path("vmboxes", vmbox_id, "messages", await account.leave(vmbox_id))
    link = data_of(await account.http.post(f"{message}/link"))["url"].rpartition("/")[2]
    for client, token, status, code in (
        (account.http, other.token, 403, "forbidden"),
        (account.http, service.root_token, 403, "forbidden"),
        (account.http, "garbage", 403, "forbidden"),
        (nobody, other.token + "x", 401, "invalid credentials"),
        (nobody, link, 401, "invalid credentials"),
    ):
        posted = await client.post("auth/tokeninfo", json={"data": {"token": token}})
        read = await client.get("auth/tokeninfo", params={"token": token})
        for answer in (posted, read):
            assert other.account_id not in str(refusal(answer, status, code))
            DESCRIBED.check(answer)
    for token in (other.token, "garbage"):
        refusal(await account.http.get(account.path("user_auth", token)), 403, "forbidden")
    refusal(await other.http.get(account.path("user_auth", other.token)), 403, "forbidden")
    refusal(await nobody.get("auth/tokeninfo"), 401, "invalid_credentials")
    for data, rule in (({}, "required"), ({"token": 5}, "type"), ({"token": ""}, "minLength")):
        answer = await nobody.post("auth/tokeninfo", json={"data": data})
        assert problems(answer)["token"].keys() == {rule}
    await other.http.aclose()


async def test_a_revoked_token_is_refused_here_at_once_and_soon_in_another_process(
    account: AccountClient, nobody: httpx.AsyncClient, service: RunningService
) -> None:
    user_id = await an_ann(account)
    elsewhere = await service.another_api()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(elsewhere.stop)

        async def client_of(process: RunningService, token: str) -> httpx.AsyncClient:
            return await stack.enter_async_context(process.client(token))

        tokens = [await signed_in(nobody, account) for _ in range(3)]
        kept = [await client_of(service, token) for token in tokens]
        there = [await client_of(elsewhere, token) for token in tokens]
        for client in (*kept, *there):
            data_of(await client.get("token_auth"))

        data_of(await kept[0].delete("token_auth"))
        refusal(await kept[0].get("token_auth"), 401, "invalid credentials")
        path = account.path("users", user_id)
        await kept[1].patch(path, json={"data": {"password": PASSWORD}})
        for client in kept[1:]:
            refusal(await client.get("token_auth"), 401, "invalid credentials")
        for client in there:
            await until_refused(client)

        fresh = await client_of(service, await signed_in(nobody, account))
        data_of(await fresh.delete(path))
        refusal(await fresh.get("token_auth"), 401, "invalid credentials")
        data = {"credentials": MD5, "realm": account.realm}
        refusal(await nobody.put("user_auth", json={"data": data}), 401, "invalid_credentials")


async def until_refused(client: httpx.AsyncClient) -> None:
    async def is_refused() -> bool:
        return (await client.get("token_auth")).status_code == 401

    await wait_until(is_refused)


async def test_credentials_are_not_logged(
    account: AccountClient, nobody: httpx.AsyncClient, service: RunningService
) -> None:
    await an_ann(account)
    token = await signed_in(nobody, account)
    await nobody.put("user_auth", json={"data": {"credentials": SHA, "realm": account.realm}})
    async with service.client(token) as user:
        await user.get(f"user_auth/{token}")
    log = (service.folder / "api.log").read_text()
    for secret in (MD5, SHA, PASSWORD, token):
        assert secret not in log
