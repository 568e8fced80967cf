"""Authentication of the mailbox dialect: a token, or user name and password."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract.mailboxes import a_mailbox, mailbox_client, refused, result
from tests.contract.wire import no_fault_logged
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

PASSWORD = "correct horse"


class Reseller:
    """Account with a user, and the headers of its client."""

    def __init__(self, account: AccountClient, name: str, user_id: str) -> None:
        self.account = account
        self.name = name
        self.user_id = user_id

    def client(self, **changes: str) -> httpx.AsyncClient:
        headers = {
            "x_auth_reseller": self.name,
            "x_auth_user": "pete",
            "x_auth_password": PASSWORD,
            **changes,
        }
        parameters = {name: value for name, value in headers.items() if value}
        return mailbox_client(self.account.service, **parameters)

    async def answers(self, **changes: str) -> httpx.Response:
        async with self.client(**changes) as client:
            return await client.get("/authenticated")

    @property
    def user(self) -> str:
        return self.account.path("users", self.user_id)


async def a_reseller(account: AccountClient, **user: Any) -> Reseller:
    document = data_of(await account.http.get(account.path()))
    parameters = {"username": "pete", "password": PASSWORD, "priv_level": "admin", **user}
    made = await account.http.put(account.path("users"), json={"data": parameters})
    return Reseller(account, document["name"], data_of(made, 201)["id"])


async def below(account: AccountClient) -> tuple[str, str]:
    """Creates a descendant account and returns its name and id."""
    name = f"c{uuid4().hex}"
    document = {"name": name, "realm": f"{name}.example"}
    made = await account.http.put(account.path(), json={"data": document})
    return name, data_of(made, 201)["id"]


async def test_valid_credentials_give_access_to_the_account(account: AccountClient) -> None:
    reseller = await a_reseller(account)
    for name in (reseller.name, reseller.name.upper(), account.realm):
        assert result(await reseller.answers(x_auth_reseller=name)) == {}
    async with reseller.client() as client:
        mailbox_id = await a_mailbox(client)
    boxes = data_of(await account.http.get(account.path("vmboxes")))
    assert [box["id"] for box in boxes] == [mailbox_id.replace("-", "")]


@pytest.mark.parametrize(
    "changes",
    [
        {"x_auth_password": "wrong"},
        {"x_auth_password": ""},
        {"x_auth_user": "paul"},
        {"x_auth_user": ""},
        {"x_auth_reseller": "nobody"},
        {"x_auth_reseller": ""},
        {"x_auth_token": "nonsense"},
        {"x_auth_reseller": "", "x_auth_user": "", "x_auth_password": ""},
    ],
)
async def test_invalid_credentials_are_refused(
    account: AccountClient, changes: dict[str, str]
) -> None:
    reseller = await a_reseller(account)
    async with reseller.client(**changes) as client:
        for method, path in (
            ("GET", "/authenticated"),
            ("GET", "/voip/mailbox"),
            ("POST", "/voip/mailbox"),
            ("DELETE", f"/voip/mailbox/{uuid4()}"),
            ("GET", f"/voip/mailbox/{uuid4()}/messages"),
            ("GET", f"/voip/mailbox/{uuid4()}/recipients"),
        ):
            refused(await client.request(method, path), 401, "Unauthorized")


async def test_a_token_takes_precedence_over_other_credentials(account: AccountClient) -> None:
    reseller = await a_reseller(account)
    answer = await reseller.answers(x_auth_token=account.token, x_auth_password="wrong")
    assert result(answer) == {}
    bearer = {"authorization": f"Bearer {account.token}"}
    async with mailbox_client(account.service, **bearer) as client:
        assert result(await client.get("/authenticated")) == {}
    with_basic = await reseller.answers(authorization="Basic cGV0ZTpwYXNz")
    assert result(with_basic) == {}


async def test_credentials_are_decoded_as_utf_8(account: AccountClient) -> None:
    reseller = await a_reseller(account, username="jürgen", password="pässwörd ☎")
    headers = [
        (b"x-auth-reseller", reseller.name.encode()),
        (b"x-auth-user", "jürgen".encode()),
        (b"x-auth-password", "pässwörd ☎".encode()),
    ]
    async with mailbox_client(account.service) as client:
        assert result(await client.get("/authenticated", headers=headers)) == {}
        latin = [*headers[:2], (b"x-auth-password", "pässwörd".encode("latin-1"))]
        refused(await client.get("/authenticated", headers=latin), 401, "Unauthorized")


async def test_a_request_may_act_for_a_descendant_account(account: AccountClient) -> None:
    reseller = await a_reseller(account)
    name, child_id = await below(account)
    async with reseller.client(x_auth_for=name.upper()) as client:
        await a_mailbox(client, name="Theirs")
    async with mailbox_client(
        account.service, x_auth_token=account.token, x_auth_for=name
    ) as client:
        assert [item["name"] for item in result(await client.get("/voip/mailbox"))] == ["Theirs"]
    async with reseller.client() as client:
        assert result(await client.get("/voip/mailbox")) == []
    boxes = data_of(await account.http.get(f"accounts/{child_id}/vmboxes"))
    assert [box["name"] for box in boxes] == ["Theirs"]


async def test_a_request_cannot_act_for_another_account(
    service: RunningService, account: AccountClient
) -> None:
    reseller = await a_reseller(account)
    stranger = await a_reseller(await service.an_account())
    async with service.client(service.root_token) as root:
        top = data_of(await root.get(f"accounts/{service.root_id}"))["name"]
    for name in (stranger.name, top, reseller.name, "nobody", account.realm):
        answer = await reseller.answers(x_auth_for=name)
        refused(answer, 403, "Forbidden")
    await stranger.account.http.aclose()


async def test_a_reused_account_name_refers_to_its_new_account(account: AccountClient) -> None:
    reseller = await a_reseller(account)
    name, first_id = await below(account)
    _, second_id = await below(account)
    async with reseller.client(x_auth_for=name) as client:
        await a_mailbox(client, name="First")
        for account_id, new_name in ((first_id, f"x{name}"), (second_id, name)):
            path = f"accounts/{account_id}"
            data_of(await account.http.patch(path, json={"data": {"name": new_name}}))
        await a_mailbox(client, name="Second")
    boxes = data_of(await account.http.get(f"accounts/{second_id}/vmboxes"))
    assert [box["name"] for box in boxes] == ["Second"]
    data_of(await account.http.delete(f"accounts/{second_id}"))
    refused(await reseller.answers(x_auth_for=name), 403, "Forbidden")


async def test_an_account_named_like_a_realm_does_not_lock_out_its_users(
    service: RunningService, account: AccountClient
) -> None:
    reseller = await a_reseller(account)
    stranger = await service.an_account()
    await a_reseller(stranger, password="other horse")
    data_of(await stranger.http.patch(stranger.path(), json={"data": {"name": account.realm}}))
    assert result(await reseller.answers(x_auth_reseller=account.realm)) == {}
    await stranger.http.aclose()


async def test_a_new_password_applies_at_once_in_its_process(account: AccountClient) -> None:
    reseller = await a_reseller(account)
    async with reseller.client() as client:
        assert result(await client.get("/authenticated")) == {}
        change = {"data": {"password": "battery staple"}}
        data_of(await account.http.patch(reseller.user, json=change))
        refused(await client.get("/authenticated"), 401, "Unauthorized")
    assert result(await reseller.answers(x_auth_password="battery staple")) == {}


async def test_other_processes_refuse_a_deleted_user(
    service: RunningService, account: AccountClient
) -> None:
    reseller = await a_reseller(account)
    other = await service.another_api()
    try:
        headers = reseller.client().headers
        async with httpx.AsyncClient(base_url=other.url, headers=headers) as client:
            assert result(await client.get("/authenticated")) == {}
            data_of(await account.http.delete(reseller.user))
            refused(await reseller.answers(), 401, "Unauthorized")

            async def is_refused() -> bool:
                return (await client.get("/authenticated")).status_code == 401

            await wait_until(is_refused)
            refused(await client.get("/authenticated"), 401, "Unauthorized")
    finally:
        await other.stop()


async def test_a_new_api_key_invalidates_cached_credentials(account: AccountClient) -> None:
    reseller = await a_reseller(account)
    assert result(await reseller.answers()) == {}
    data_of(await account.http.put(account.path("api_key")), 201)
    # The password is still good: it is proved again, not refused.
    assert result(await reseller.answers()) == {}


@pytest.mark.long
async def test_concurrent_requests_share_one_password_check(
    service: RunningService, account: AccountClient
) -> None:
    reseller = await a_reseller(account)
    async with reseller.client() as client, no_fault_logged(service):
        answers = await asyncio.gather(*(client.get("/authenticated") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {200}
    wrong = reseller.client(x_auth_password="wrong")
    async with wrong as client, no_fault_logged(service):
        answers = await asyncio.gather(*(client.get("/authenticated") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {401}
