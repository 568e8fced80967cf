"""Users without administrator rights: their own boxes, their own document, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.domain.user import CredentialMethod, digests_of
from tests.contract.mailboxes import mailbox_client
from tests.contract.mailboxes import result as mailbox_result
from tests.contract.wire import FORBIDDEN, NO_ID, problems, refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

PASSWORD = "a long password"


class Member:
    """A user with a box, in an account with another user and another box."""

    def __init__(self, account: AccountClient) -> None:
        self.account = account

    async def prepare(self) -> "Member":
        account = self.account
        self.user_id = await self.a_user("member")
        self.other_id = await self.a_user("other")
        self.box = await account.a_vmbox(name="Own", owner_id=self.user_id, pin="4711")
        self.foreign = await account.a_vmbox(name="Foreign", owner_id=self.other_id, pin="0815")
        self.message = await account.leave(self.box, an_mp3())
        self.foreign_message = await account.leave(self.foreign, an_mp3())
        self.http = account.service.client(await self.sign_in("member"))
        return self

    async def a_user(self, name: str, **more: Any) -> str:
        document = {"username": name, "password": PASSWORD, **more}
        made = await self.account.http.put(self.account.path("users"), json={"data": document})
        user_id: str = data_of(made, 201)["id"]
        return user_id

    async def sign_in(self, name: str, password: str = PASSWORD) -> str:
        digest = digests_of(name, password)[CredentialMethod.MD5]
        data = {"credentials": digest, "realm": self.account.realm}
        answer = await self.account.http.put("user_auth", json={"data": data})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["auth_token"]
        return token

    async def read(self, *parts: str, **query: Any) -> Any:
        return data_of(await self.http.get(self.account.path(*parts), params=query))

    async def change(self, **changes: Any) -> httpx.Response:
        path = self.account.path("users", self.user_id)
        return await self.http.patch(path, json={"data": changes})


@pytest_asyncio.fixture(loop_scope="session")
async def member(account: AccountClient) -> AsyncIterator[Member]:
    made = await Member(account).prepare()
    yield made
    await made.http.aclose()


async def test_lists_contain_what_the_user_owns_and_nothing_else(member: Member) -> None:
    assert [row["id"] for row in await member.read("vmboxes")] == [member.box]
    assert [row["id"] for row in await member.read("vmboxes", ascending="false")] == [member.box]
    (row,) = await member.read("vmboxes", "messages")
    assert list(row) == [member.box]
    (row,) = await member.read("vmboxes", "messages", ascending="true")
    assert list(row) == [member.box]
    (row,) = await member.read("vmboxes", "messages", q="own")
    assert list(row) == [member.box]
    assert await member.read("vmboxes", "messages", q="foreign") == []
    assert [row["id"] for row in await member.read("users")] == [member.user_id]
    assert await member.read() == {
        "id": member.account.account_id,
        "name": member.account.realm.removesuffix(".example"),
    }


async def test_the_etag_of_a_list_depends_on_the_own_rows_only(member: Member) -> None:
    async def etag() -> str:
        answer = await member.http.get(member.account.path("vmboxes", "messages"))
        return answer.headers["etag"]

    before = await etag()
    await member.account.leave(member.foreign, an_mp3())
    assert await etag() == before
    await member.account.leave(member.box, an_mp3())
    assert await etag() != before


async def test_the_own_box_can_be_used_completely(member: Member) -> None:
    path = member.account.path("vmboxes", member.box)
    assert (await member.read("vmboxes", member.box))["pin"] == "4711"
    await member.account.http.get(path)
    message = f"{path}/messages/{member.message}"
    assert (await member.http.get(f"{message}/raw")).content == an_mp3()
    data_of(await member.http.post(message, json={"data": {"folder": "saved"}}))
    assert await member.read("vmboxes", member.box, "mwi") == {
        "new": 0,
        "saved": 1,
        "waiting": False,
    }
    data_of(await member.http.patch(path, json={"data": {"pin": "1234"}}))
    greeting = data_of(
        await member.http.put(member.account.path("media"), json={"data": {"name": "Hello"}}), 201
    )
    media = {"media": {"unavailable": greeting["id"]}}
    data_of(await member.http.patch(path, json={"data": media}))
    assert [row["id"] for row in await member.read("media")] == [greeting["id"]]
    data_of(await member.http.delete(message))


async def test_boxes_messages_and_pins_of_others_are_forbidden(member: Member) -> None:
    path = member.account.path("vmboxes", member.foreign)
    message = f"{path}/messages/{member.foreign_message}"
    for refused in (
        await member.http.get(path),
        await member.http.get(f"{path}/mwi"),
        await member.http.get(f"{path}/events"),
        await member.http.get(message),
        await member.http.get(f"{message}/raw"),
        await member.http.delete(message),
        await member.http.patch(path, json={"data": {"pin": "1111"}}),
        await member.http.get(member.account.path("vmboxes", NO_ID)),
        await member.http.get(member.account.path("vmboxes", "unknown")),
    ):
        refusal(refused, 403, FORBIDDEN)
    own = member.account.path("vmboxes", member.box, "messages")
    for source_id in (member.foreign, [member.box, member.foreign]):
        data = {"source_id": source_id, "messages": [member.message]}
        refusal(await member.http.post(own, json={"data": data}), 403, FORBIDDEN)
        data = {"source_id": source_id}
        refusal(
            await member.http.post(f"{own}/{member.message}", json={"data": data}), 403, FORBIDDEN
        )
    forward = f"{own}/{member.message}/forward"
    data = {"source_id": [member.box, member.foreign]}
    refusal(await member.http.post(forward, json={"data": data}), 403, FORBIDDEN)


async def test_administration_is_forbidden(member: Member) -> None:
    account = member.account
    hook = {"name": "All", "uri": "https://93.184.215.14/", "hook": "all"}
    for refused in (
        await member.http.put(account.path("webhooks"), json={"data": hook}),
        await member.http.get(account.path("webhooks")),
        await member.http.get(account.path("api_key")),
        await member.http.get(account.path("api_keys")),
        await member.http.put(account.path("users"), json={"data": {"username": "new"}}),
        await member.http.put(account.path(), json={"data": {"name": "n", "realm": "n.example"}}),
        await member.http.put(
            account.path("vmboxes"), json={"data": {"name": "n", "mailbox": "1"}}
        ),
        await member.http.patch(account.path(), json={"data": {"name": "stolen"}}),
        await member.http.get(account.path("users", member.other_id)),
        await member.http.delete(account.path("users", member.user_id)),
        await member.http.get(account.path("descendants")),
        await member.http.get(f"accounts/{account.service.root_id}"),
    ):
        refusal(refused, 403, FORBIDDEN)


async def test_a_box_cannot_get_another_owner_or_retention_by_its_owner(member: Member) -> None:
    path = member.account.path("vmboxes", member.box)
    for key, value in (
        ("owner_id", member.other_id),
        ("message_retention_days", 5),
        ("deleted_retention_days", 5),
    ):
        changed = await member.http.patch(path, json={"data": {key: value}})
        refusal(changed, 403, FORBIDDEN)
    document = {"name": "Own", "mailbox": "7000"}
    assert data_of(await member.http.post(path, json={"data": document}))["owner_id"] == (
        member.user_id
    )


async def test_a_greeting_of_another_box_is_forbidden(member: Member) -> None:
    account = member.account
    made = await account.http.put(account.path("media"), json={"data": {"name": "Foreign"}})
    foreign = data_of(made, 201)["id"]
    media = {"media": {"unavailable": foreign}}
    box = account.path("vmboxes", member.foreign)
    data_of(await account.http.patch(box, json={"data": media}))
    refusal(await member.http.get(account.path("media", foreign)), 403, FORBIDDEN)
    own = account.path("vmboxes", member.box)
    refusal(await member.http.patch(own, json={"data": media}), 403, FORBIDDEN)
    data_of(await account.http.patch(own, json={"data": media}))
    assert (await member.read("media", foreign))["name"] == "Foreign"
    # Two boxes use it, and one of them is not the user's.
    renamed = {"data": {"name": "Mine"}}
    refusal(await member.http.patch(account.path("media", foreign), json=renamed), 403, FORBIDDEN)


async def test_users_change_their_names_and_address(member: Member) -> None:
    changes = {"first_name": "Ann", "email": "ann@example.com", "timezone": "Europe/Rome"}
    changed = data_of(await member.change(**changes))
    assert {key: changed[key] for key in changes} == changes
    document = {**changed, "last_name": "Lee"}
    path = member.account.path("users", member.user_id)
    assert data_of(await member.http.post(path, json={"data": document}))["last_name"] == "Lee"
    assert "email" not in data_of(await member.change(email=None))
    for forbidden in ({"priv_level": "admin"}, {"username": "root"}, {"x": 1}):
        refusal(await member.change(**forbidden), 403, FORBIDDEN)


async def test_a_new_password_requires_the_old_one(member: Member) -> None:
    new = "another long password"
    rules = problems(await member.change(password=new))
    assert rules.keys() == {"old_password"}
    assert problems(await member.change(password=new, old_password="wrong")).keys() == {
        "old_password"
    }
    refusal(await member.change(password=None, old_password=PASSWORD), 403, FORBIDDEN)
    changed = data_of(await member.change(password=new, old_password=PASSWORD))
    assert not {"password", "old_password"} & changed.keys()
    async with member.account.service.client(await member.sign_in("member", new)) as client:
        data_of(await client.get(member.account.path("vmboxes")))
    other = member.account.path("users", member.other_id)
    data = {"data": {"password": new, "old_password": PASSWORD}}
    async with member.account.service.client(await member.sign_in("member", new)) as client:
        refusal(await client.patch(other, json=data), 403, FORBIDDEN)


async def test_an_administrator_has_the_whole_account(member: Member) -> None:
    await member.a_user("chief", priv_level="admin")
    async with member.account.service.client(await member.sign_in("chief")) as client:
        boxes = data_of(await client.get(member.account.path("vmboxes")))
        assert {box["id"] for box in boxes} == {member.box, member.foreign}
        data_of(await client.get(member.account.path("api_key")))
        path = member.account.path("users", member.user_id)
        data_of(await client.patch(path, json={"data": {"priv_level": "admin"}}))
    assert len(await member.read("vmboxes")) == 2


async def test_the_mailbox_dialect_applies_the_same_rule(member: Member) -> None:
    credentials = {
        "x_auth_reseller": member.account.realm,
        "x_auth_user": "member",
        "x_auth_password": PASSWORD,
    }
    async with mailbox_client(member.account.service, **credentials) as client:
        (box,) = mailbox_result(await client.get("/voip/mailbox"))
        assert box["uuid"].replace("-", "") == member.box
        foreign = f"/voip/mailbox/{member.foreign}"
        for answer in (
            await client.get(foreign),
            await client.get(f"{foreign}/messages"),
            await client.delete(foreign),
            await client.get(f"{foreign}/recipients"),
            await client.post("/voip/mailbox", json={"name": "new"}),
            await client.get("/voip/mailbox", headers={"X-Auth-For": "any"}),
        ):
            assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("change", ["owner", "rights"])
async def test_a_stream_contains_own_events_and_ends_when_the_access_changes(
    member: Member, change: str
) -> None:
    account = member.account
    page = data_of(await member.http.get(account.path("events"), params={"since": "0.0"}))
    assert {event["data"]["vmbox_id"] for event in page} == {member.box}
    lines: list[str] = []

    async def follow() -> None:
        headers = {"Accept": "text/event-stream"}
        async with member.http.stream("GET", account.path("events"), headers=headers) as stream:
            async for line in stream.aiter_lines():
                lines.append(line)

    following = asyncio.create_task(follow())
    await wait_until(lambda: bool(lines))
    await account.leave(member.foreign, an_mp3())
    await account.leave(member.box, an_mp3())
    await wait_until(lambda: any(line.startswith("data:") for line in lines))
    assert not any(member.foreign in line for line in lines)
    if change == "owner":
        data = {"data": {"owner_id": member.other_id}}
        data_of(await account.http.patch(account.path("vmboxes", member.box), json=data))
    else:
        data = {"data": {"priv_level": "admin"}}
        data_of(await account.http.patch(account.path("users", member.user_id), json=data))
    async with asyncio.timeout(30):
        await following


async def test_the_setting_gives_users_the_whole_account(
    member: Member, service: RunningService
) -> None:
    other = await service.another_api(AFTERTONE_USER_ACCESS="account")
    try:
        async with other.client(member.http.headers["x-auth-token"]) as client:
            boxes = data_of(await client.get(member.account.path("vmboxes")))
            assert {box["id"] for box in boxes} == {member.box, member.foreign}
            data_of(await client.get(member.account.path("api_key")))
    finally:
        await other.stop()
