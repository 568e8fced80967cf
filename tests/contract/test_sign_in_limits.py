"""Guesses of passwords: locks per peer, in both dialects; the minimum length of passwords."""

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest_asyncio

from tests.contract.described import DESCRIBED
from tests.contract.mailboxes import mailbox_client, refused
from tests.contract.test_audit import recorded
from tests.contract.wire import problems, refusal
from tests.support.running import AccountClient, RunningService, data_of

PASSWORD = "correct horse"
# The service trusts it as a proxy, so that each test chooses the address of its client.
HERE = "127.0.0.0/8"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def behind_proxy(service: RunningService) -> AsyncIterator[RunningService]:
    api = await service.another_api(
        AFTERTONE_TRUSTED_PROXIES=HERE,
        AFTERTONE_SIGN_IN_MAX_FAILURES="3",
        AFTERTONE_SIGN_IN_MAX_FAILURES_PER_PEER="5",
    )
    yield api
    await api.stop()


async def create_user(account: AccountClient) -> str:
    username = f"u{uuid4().hex[:8]}"
    document = {"username": username, "password": PASSWORD}
    data_of(await account.http.put(account.path("users"), json={"data": document}), 201)
    return username


def md5_of(username: str, password: str) -> str:
    return hashlib.md5(f"{username}:{password}".encode(), usedforsecurity=False).hexdigest()


async def sign_in(
    client: httpx.AsyncClient, account: AccountClient, digest: str, peer: str
) -> httpx.Response:
    data = {"credentials": digest, "realm": account.realm}
    headers = {"X-Forwarded-For": peer}
    return await client.put("user_auth", json={"data": data}, headers=headers)


async def test_guesses_lock_an_account_for_their_peer_and_for_no_other(
    behind_proxy: RunningService, account: AccountClient
) -> None:
    good = md5_of(await create_user(account), PASSWORD)
    async with behind_proxy.client("") as client:
        for _ in range(3):
            answer = await sign_in(client, account, uuid4().hex, "192.0.2.1")
            refusal(answer, 401, "invalid_credentials")

        locked = await sign_in(client, account, good, "192.0.2.1")
        assert "wrong credentials" in refusal(locked, 429, "sign_in_locked")["message"]
        assert 890 <= int(locked.headers["retry-after"]) <= 901
        DESCRIBED.check(locked)

        coded = b64encode(f"{account.account_id}:{good}".encode()).decode()
        for peer, status in (("192.0.2.1", 200), ("192.0.2.2", 200)):
            basic = {"Authorization": f"Basic {coded}", "X-Forwarded-For": peer}
            assert (await client.get("token_auth", headers=basic)).status_code == status
        elsewhere = await sign_in(client, account, good, "192.0.2.2")
        data_of(elsewhere, 201)


async def test_guesses_of_one_user_do_not_lock_another_in_the_mailbox_dialect(
    behind_proxy: RunningService, account: AccountClient
) -> None:
    ann, bob = await create_user(account), await create_user(account)

    async def answer_of(username: str, password: str) -> httpx.Response:
        headers = {
            "x_auth_reseller": account.realm,
            "x_auth_user": username,
            "x_auth_password": password,
            "x_forwarded_for": "192.0.2.3",
        }
        async with mailbox_client(behind_proxy, **headers) as client:
            return await client.get("/authenticated")

    for number in range(3):
        refused(await answer_of(ann, f"guess {number}"), 401, "Unauthorized")
    locked = await answer_of(ann, PASSWORD)
    assert locked.status_code == 429
    assert int(locked.headers["retry-after"]) > 0
    assert (await answer_of(bob, PASSWORD)).status_code == 200


async def test_guesses_of_the_old_password_are_locked_like_sign_ins(
    behind_proxy: RunningService, account: AccountClient
) -> None:
    username, new = await create_user(account), "another long password"
    async with behind_proxy.client("") as client:
        signed_in = await sign_in(client, account, md5_of(username, PASSWORD), "192.0.2.4")
        path = account.path("users", data_of(signed_in, 201)["owner_id"])
        token = signed_in.json()["auth_token"]

        async def change(old: str, peer: str = "192.0.2.5") -> httpx.Response:
            data = {"data": {"password": new, "old_password": old}}
            headers = {"X-Auth-Token": token, "X-Forwarded-For": peer}
            answer = await client.patch(path, json=data, headers=headers)
            DESCRIBED.check(answer)
            return answer

        for number in range(3):
            wrong = problems(await change(f"guess {number}"))
            assert wrong["old_password"].keys() == {"wrong_format"}
        locked = await change(PASSWORD)
        refusal(locked, 429, "sign_in_locked")
        assert int(locked.headers["retry-after"]) > 0
        rows = await recorded(account, action="sign_in.locked")
        assert [row["peer"] for row in rows] == ["192.0.2.5"]
        data_of(await change(PASSWORD, "192.0.2.6"))


async def test_wrong_tokens_lock_the_peer_for_further_checks_of_tokens_only(
    behind_proxy: RunningService, account: AccountClient
) -> None:
    async with behind_proxy.client("") as client:

        async def check(token: str, peer: str) -> httpx.Response:
            headers = {"X-Forwarded-For": peer}
            data = {"data": {"token": token}}
            answer = await client.post("auth/tokeninfo", json=data, headers=headers)
            DESCRIBED.check(answer)
            return answer

        for number in range(5):
            answer = await check(f"{account.token}{number}", "192.0.2.7")
            refusal(answer, 401, "invalid credentials")
        locked = await check(account.token, "192.0.2.7")
        refusal(locked, 429, "sign_in_locked")
        assert int(locked.headers["retry-after"]) > 0
        data_of(await check(account.token, "192.0.2.8"))
        good = md5_of(await create_user(account), PASSWORD)
        data_of(await sign_in(client, account, good, "192.0.2.7"), 201)


async def test_a_password_has_at_least_8_characters(
    account: AccountClient, service: RunningService
) -> None:
    users = account.path("users")
    for password in ("x", "seven 7"):
        document = {"username": "ann", "password": password}
        answer = await account.http.put(users, json={"data": document})
        rule = problems(answer)["password"]["minLength"]
        assert (rule["target"], rule["value"]) == (8, None)
    lenient = await service.another_api(AFTERTONE_PASSWORD_MIN_LENGTH="4")
    async with lenient.client(account.token) as client:
        document = {"username": "ann", "password": "four"}
        data_of(await client.put(users, json={"data": document}), 201)
    await lenient.stop()
    # A shorter password that exists stays valid.
    signed_in = await sign_in(account.http, account, md5_of("ann", "four"), "")
    data_of(signed_in, 201)
