"""Boxes in both dialects: each sees the changes of the other, and events are the same."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from tests.contract.mailboxes import (
    FULL,
    a_greeting,
    a_mailbox,
    bare,
    dashed,
    mailbox_client,
    refused,
    result,
)
from tests.contract.wire import NO_ID, NOW
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of

Act = Callable[[str], Awaitable[httpx.Response]]


async def in_kazoo(account: AccountClient, mailbox_id: str) -> dict[str, Any]:
    document: dict[str, Any] = data_of(
        await account.http.get(account.path("vmboxes", bare(mailbox_id)))
    )
    return document


async def test_a_mailbox_can_be_read_changed_and_deleted_as_a_vmbox(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    greeting = await a_greeting(account)
    mailbox_id = await a_mailbox(voip, **{**FULL, "greeting": dashed(greeting), "beep": False})
    document = await in_kazoo(account, mailbox_id)
    expected = {
        "id": bare(mailbox_id),
        "name": FULL["name"],
        "mailbox": "1000",
        "pin": "1234",
        "beep": False,
        "play_caller_id": True,
        "play_timestamp": True,
        "transcribe": True,
        "media": {"unavailable": greeting},
        "notify_email_addresses": [],
    }
    assert {key: document[key] for key in expected} == expected

    box = account.path("vmboxes", bare(mailbox_id))
    changes = {"name": "Changed", "pin": None, "play_timestamp": False, "media": None}
    data_of(await account.http.patch(box, json={"data": changes}))
    displayed = result(await voip.get(f"/voip/mailbox/{mailbox_id}"))
    assert (displayed["name"], displayed["password"], displayed["greeting"]) == (
        "Changed",
        None,
        None,
    )
    assert (displayed["beep"], displayed["play_timestamp"]) == (False, False)

    data_of(await account.http.delete(box))
    refused(await voip.get(f"/voip/mailbox/{mailbox_id}"), 404, "Not Found")
    assert result(await voip.get("/voip/mailbox")) == []


async def test_a_vmbox_can_be_read_changed_and_deleted_as_a_mailbox(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Desk", mailbox="5", pin="98765", color="green")
    (displayed,) = result(await voip.get("/voip/mailbox"))
    assert {key: displayed[key] for key in displayed if not key.endswith("_on")} == {
        "uuid": dashed(vmbox_id),
        "name": "Desk",
        "password": "98765",
        "beep": True,
        "greeting": None,
        "play_caller_id": True,
        "play_timestamp": True,
        "transcribe": False,
        "email_recipients": [],
    }
    changed = await voip.put(f"/voip/mailbox/{vmbox_id}", json={"name": "New", "beep": False})
    assert result(changed)["name"] == "New"
    document = await in_kazoo(account, vmbox_id)
    assert (document["name"], document["mailbox"], document["color"]) == ("New", "5", "green")
    assert document["beep"] is False
    assert "pin" not in document
    assert (await voip.delete(f"/voip/mailbox/{vmbox_id}")).status_code == 204
    gone = await account.http.get(account.path("vmboxes", vmbox_id))
    assert (gone.status_code, gone.json()["message"]) == (404, "bad_identifier")
    assert data_of(await account.http.get(account.path("vmboxes"))) == []


@pytest.mark.parametrize("odd", ["no", 0, [], {"x": 1}])
async def test_a_flag_of_another_type_is_returned_as_its_default(
    account: AccountClient, voip: httpx.AsyncClient, odd: object
) -> None:
    vmbox_id = await account.a_vmbox(beep=odd, play_caller_id=odd)
    document = result(await voip.get(f"/voip/mailbox/{vmbox_id}"))
    assert (document["beep"], document["play_caller_id"]) == (True, True)
    assert (await in_kazoo(account, vmbox_id))["beep"] == odd


async def test_an_owner_of_another_profile_is_kept(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    document = {"name": "Desk", "mailbox": "5", "owner_id": "user_17"}
    made = await account.http.put(
        account.path("vmboxes"), params={"profile": "audian"}, json={"data": document}
    )
    vmbox_id = data_of(made, 201)["id"]
    result(await voip.put(f"/voip/mailbox/{vmbox_id}", json={"name": "New"}))
    path = f"/voip/mailbox/{vmbox_id}/recipients"
    added = result(await voip.post(path, json={"email": "a@example.com"}), 201)
    assert (await voip.delete(f"{path}/{added['uuid']}")).status_code == 204
    assert (await in_kazoo(account, vmbox_id))["owner_id"] == "user_17"


async def test_both_dialects_sort_names_in_the_same_way(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    for name in ("b", "a", "B", "a"):
        await account.a_vmbox(name=name)
    boxes = data_of(await account.http.get(account.path("vmboxes")))
    listed = result(await voip.get("/voip/mailbox"))
    assert [bare(row["uuid"]) for row in listed] == [box["id"] for box in boxes]


async def test_events_do_not_depend_on_the_dialect(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    greeting = await a_greeting(account)
    body = {**FULL, "greeting": dashed(greeting)}
    here = await a_mailbox(voip, **body)
    document = await in_kazoo(account, here)
    addresses = {"notify_email_addresses": ["a@example.com"]}
    there = data_of(
        await account.http.put(
            account.path("vmboxes"), json={"data": {**document, "mailbox": "1001"}}
        ),
        201,
    )["id"]

    first, recipients = f"/voip/mailbox/{here}", f"/voip/mailbox/{here}/recipients"
    box = account.path("vmboxes", there)
    messages = [await account.leave(vmbox_id, an_mp3()) for vmbox_id in (bare(here), there)]
    added = result(await voip.post(recipients, json={"email": "a@example.com"}), 201)
    data_of(await account.http.patch(box, json={"data": addresses}))
    result(await voip.put(first, json={"name": "New"}))
    new = {"name": "New", "pin": None, "transcribe": False, "media": {"unavailable": None}}
    data_of(await account.http.patch(box, json={"data": new}))
    assert (await voip.delete(f"{recipients}/{added['uuid']}")).status_code == 204
    data_of(await account.http.patch(box, json={"data": {"notify_email_addresses": []}}))
    assert (await voip.delete(f"{first}/messages/{messages[0]}")).status_code == 204
    data_of(await account.http.delete(f"{box}/messages/{messages[1]}"))
    assert (await voip.delete(first)).status_code == 204
    data_of(await account.http.delete(box))

    ours = await events_of(account, bare(here), {messages[0]: "MESSAGE", '"1000': '"NUMBER'})
    theirs = await events_of(account, there, {messages[1]: "MESSAGE", '"1001': '"NUMBER'})
    assert ours == theirs
    assert [event["type"] for event in ours] == [
        "vmbox.created",
        "message.new",
        *["vmbox.updated"] * 3,
        "message.removed",
        "vmbox.deleted",
    ]


async def events_of(
    account: AccountClient, vmbox_id: str, names: dict[str, str]
) -> list[dict[str, Any]]:
    """Returns the events of a box, with placeholders for values that differ between boxes."""
    connection = await asyncpg.connect(account.service.environment["AFTERTONE_DATABASE_URL"])
    try:
        rows = await connection.fetch(
            "SELECT type, data::text FROM outbox"
            " WHERE account_id = $1 AND vmbox_id = $2 ORDER BY sequence",
            account.account_id,
            vmbox_id,
        )
    finally:
        await connection.close()
    return [{"type": row["type"], "data": _named(row["data"], vmbox_id, names)} for row in rows]


def _named(text: str, vmbox_id: str, names: dict[str, str]) -> dict[str, Any]:
    for real, name in {vmbox_id: "VMBOX", **names}.items():
        text = text.replace(real, name)
    data: dict[str, Any] = msgspec.json.decode(text)
    for key in ("timestamp", "call_id"):
        data.get("message", {}).pop(key, None)
    return data


async def test_resources_of_other_accounts_are_a_404(
    service: RunningService, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(notify_email_addresses=["a@example.com"])
    media_id = await account.leave(vmbox_id, an_mp3())
    stranger = await service.an_account()
    async with (
        mailbox_client(service, x_auth_token=account.token) as owner,
        mailbox_client(service, x_auth_token=stranger.token) as voip,
    ):
        path = f"/voip/mailbox/{vmbox_id}/recipients"
        recipient = result(await owner.get(path))[0]["uuid"]
        own = await a_mailbox(voip)
        before = [await owner.get(f"/voip/mailbox/{vmbox_id}"), await owner.get(path)]
        for box in (vmbox_id, own):
            foreign = await _attempts(voip, box, media_id, recipient)
            unknown = await _attempts(voip, box.replace(vmbox_id, NO_ID), _no_message(), NO_ID)
            assert [(response.status_code, response.text) for response in foreign] == [
                (response.status_code, response.text) for response in unknown
            ]
            assert {answer.status_code for answer in foreign} == {404}
        greeting = {"name": "X", "greeting": await a_greeting(account)}
        assert (await voip.put(f"/voip/mailbox/{own}", json=greeting)).status_code == 400
        assert [item["uuid"] for item in result(await voip.get("/voip/mailbox"))] == [own]
        after = [await owner.get(f"/voip/mailbox/{vmbox_id}"), await owner.get(path)]
        assert [entry.json() for entry in after] == [entry.json() for entry in before]
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [media_id]
    await stranger.http.aclose()


def _no_message() -> str:
    return f"{NOW:%Y%m}-{NO_ID}"


async def _attempts(
    voip: httpx.AsyncClient, box: str, media_id: str, recipient: str
) -> list[httpx.Response]:
    """Sends all requests with ids of another account."""
    path = f"/voip/mailbox/{box}"
    tried = [
        await voip.get(f"{path}/messages/{media_id}"),
        await voip.get(f"{path}/messages/{media_id}/audio"),
        await voip.delete(f"{path}/messages/{media_id}"),
        await voip.delete(f"{path}/recipients/{recipient}"),
    ]
    if "-" in box:
        return tried
    return [
        *tried,
        await voip.get(path),
        await voip.put(path, json={"name": "Mine"}),
        await voip.delete(path),
        await voip.get(f"{path}/messages"),
        await voip.get(f"{path}/messages", params={"before": media_id}),
        await voip.get(f"{path}/recipients"),
        await voip.post(f"{path}/recipients", json={"email": "b@example.com"}),
    ]
