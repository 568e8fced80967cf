"""Mailboxes: Yay.com API, "Voicemails & Mailboxes", every documented call and field."""

from typing import Any

import httpx
import pytest

from tests.contract.mailboxes import (
    FULL,
    a_greeting,
    a_mailbox,
    as_json,
    bare,
    dashed,
    errors,
    refused,
    result,
)
from tests.contract.wire import NO_ID, golden
from tests.support.running import AccountClient, data_of


async def test_the_documented_calls_return_the_documented_responses(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    greeting = dashed(await a_greeting(account))
    body = {**FULL, "greeting": greeting}
    made = await voip.post("/voip/mailbox", json=body)
    mailbox_id, day = result(made, 201)["uuid"], result(made, 201)["created_on"]
    names = {mailbox_id: "MAILBOX", greeting: "GREETING", day: "DAY"}
    golden("mailboxes/created", made, names)
    assert made.headers["location"] == f"/voip/mailbox/{mailbox_id}"

    path = f"/voip/mailbox/{mailbox_id}"
    added = await voip.post(f"{path}/recipients", json={"email": "pete@example.com"})
    names[result(added, 201)["uuid"]] = "RECIPIENT"
    golden("mailboxes/read", await voip.get(path), names)
    golden("mailboxes/listed", await voip.get("/voip/mailbox"), names)
    golden("mailboxes/replaced", await voip.put(path, json=body), names)
    golden("mailboxes/refused", await voip.post("/voip/mailbox", **as_json(b"{")), names)
    golden("mailboxes/refused", await voip.put(path, **as_json(b"[]")), names)

    deleted = await voip.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert not {"content-type", "transfer-encoding"} & deleted.headers.keys()
    assert deleted.headers.get("content-length", "0") == "0"
    for gone in (voip.get(path), voip.put(path, json=body), voip.delete(path)):
        golden("mailboxes/unknown", await gone, names)


async def test_an_omitted_field_has_its_default(voip: httpx.AsyncClient) -> None:
    made = result(await voip.post("/voip/mailbox", json={"name": "Bare"}), 201)
    assert {key: made[key] for key in made if key not in ("uuid", "created_on")} == {
        "name": "Bare",
        "password": None,
        "beep": True,
        "greeting": None,
        "play_caller_id": True,
        "play_timestamp": True,
        "transcribe": False,
        "email_recipients": [],
    }
    read = result(await voip.get(f"/voip/mailbox/{made['uuid']}"))
    assert read == {**made, "updated_on": made["created_on"]}


async def test_a_put_restores_defaults_and_keeps_other_settings(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    greeting = await a_greeting(account)
    settings = {
        "mailbox": "77",
        "owner_id": NO_ID,
        "color": "green",
        "aliases": ["78"],
        "skip_greeting": True,
        "media": {"unavailable": greeting, "temporary_unavailable": greeting, "name": "x"},
        "notify_email_addresses": ["a@example.com"],
        "beep": False,
        "pin": "123456",
    }
    vmbox_id = await account.a_vmbox(**settings)
    path = f"/voip/mailbox/{vmbox_id}"
    before = result(await voip.get(path))
    assert (before["password"], before["beep"]) == ("123456", False)
    assert before["greeting"] == dashed(greeting)
    after = result(await voip.put(path, json={"name": "New", "color": "red", "mailbox": "1"}))
    assert (after["name"], after["password"], after["greeting"]) == ("New", None, None)
    assert after["beep"] is True
    assert after["email_recipients"] == before["email_recipients"]
    document = data_of(await account.http.get(account.path("vmboxes", vmbox_id)))
    kept = ("mailbox", "owner_id", "color", "aliases", "skip_greeting", "notify_email_addresses")
    assert {key: document[key] for key in kept} == {key: settings[key] for key in kept}
    assert document["media"] == {"temporary_unavailable": greeting, "name": "x"}
    assert "pin" not in document


@pytest.mark.parametrize(
    ("changes", "actual"),
    [
        ({"name": None}, {"name": "type"}),
        ({"name": ""}, {"name": "minLength"}),
        ({"name": "x" * 129}, {"name": "maxLength"}),
        ({"name": 7}, {"name": "type"}),
        ({"password": ""}, {"password": "minLength"}),
        ({"password": "123"}, {"password": "minLength"}),
        ({"password": "12345"}, {"password": "maxLength"}),
        ({"password": "12a4"}, {"password": "format"}),
        ({"password": "١٢٣٤"}, {"password": "format"}),
        ({"password": 1234}, {"password": "type"}),
        ({"beep": "maybe"}, {"beep": "type"}),
        ({"beep": None}, {"beep": "type"}),
        ({"play_caller_id": 1}, {"play_caller_id": "type"}),
        ({"play_timestamp": []}, {"play_timestamp": "type"}),
        ({"transcribe": {}}, {"transcribe": "type"}),
        ({"greeting": "hello"}, {"greeting": "format"}),
        ({"greeting": NO_ID[:-1]}, {"greeting": "format"}),
        ({"greeting": 5}, {"greeting": "type"}),
        ({"greeting": dashed(NO_ID)}, {"greeting": "not_found"}),
        ({"greeting": NO_ID}, {"greeting": "not_found"}),
        ({"password": "1", "beep": "x"}, {"password": "minLength", "beep": "type"}),
    ],
)
async def test_an_invalid_field_is_reported_with_its_rule(
    voip: httpx.AsyncClient, changes: dict[str, Any], actual: dict[str, str]
) -> None:
    mailbox_id = await a_mailbox(voip, password="4321")
    before = await voip.get(f"/voip/mailbox/{mailbox_id}")
    body = {"name": "Box", **changes}
    assert errors(await voip.post("/voip/mailbox", json=body)) == actual
    assert errors(await voip.put(f"/voip/mailbox/{mailbox_id}", json=body)) == actual
    assert (await voip.get("/voip/mailbox")).json()["result"] == [result(before)]


async def test_a_name_is_required(voip: httpx.AsyncClient) -> None:
    path = f"/voip/mailbox/{await a_mailbox(voip)}"
    for answer in (await voip.post("/voip/mailbox", json={}), await voip.put(path, json={})):
        assert errors(answer) == {"name": "required"}


async def test_null_removes_password_and_greeting(voip: httpx.AsyncClient) -> None:
    path = f"/voip/mailbox/{await a_mailbox(voip, password='0012')}"
    assert result(await voip.get(path))["password"] == "0012"
    changed = await voip.put(path, json={"name": "B", "password": None, "greeting": None})
    assert result(changed)["password"] is None


async def test_ids_are_accepted_with_and_without_dashes(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    greeting = await a_greeting(account)
    mailbox_id = await a_mailbox(voip, greeting=greeting)
    for written in (mailbox_id, bare(mailbox_id), mailbox_id.upper()):
        read = result(await voip.get(f"/voip/mailbox/{written}"))
        assert (read["uuid"], read["greeting"]) == (mailbox_id, dashed(greeting))
    for other in (mailbox_id[:-1], f"{{{mailbox_id}}}", mailbox_id.replace("-", "_"), "x", "%00"):
        refused(await voip.get(f"/voip/mailbox/{other}"), 404, "Not Found")


async def test_the_list_is_complete_and_ordered_by_name(voip: httpx.AsyncClient) -> None:
    assert result(await voip.get("/voip/mailbox")) == []
    for name in ("b", "a", "C"):
        await a_mailbox(voip, name=name, password="1234")
    listed = result(await voip.get("/voip/mailbox"))
    assert [(row["name"], row["password"]) for row in listed] == [
        ("C", "1234"),
        ("a", "1234"),
        ("b", "1234"),
    ]
    for row in listed:
        assert result(await voip.get(f"/voip/mailbox/{row['uuid']}")) == row


async def test_unknown_keys_are_ignored(account: AccountClient, voip: httpx.AsyncClient) -> None:
    extra = {"uuid": dashed(NO_ID), "created_on": "1999-01-01", "color": 1, "mailbox": "5"}
    made = result(await voip.post("/voip/mailbox", json={"name": "X", **extra}), 201)
    assert made["uuid"] != extra["uuid"]
    document = data_of(await account.http.get(account.path("vmboxes", bare(made["uuid"]))))
    assert "color" not in document
    assert document["mailbox"] == "1000"


async def test_recipients_in_the_mailbox_are_ignored(voip: httpx.AsyncClient) -> None:
    body = {"name": "X", "email_recipients": [{"email": "a@example.com"}]}
    made = result(await voip.post("/voip/mailbox", json=body), 201)
    assert made["email_recipients"] == []


async def test_head_is_a_get_without_its_body(voip: httpx.AsyncClient) -> None:
    mailbox_id = await a_mailbox(voip)
    for path in ("/voip/mailbox", f"/voip/mailbox/{mailbox_id}", "/authenticated"):
        got, head = await voip.get(path), await voip.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]


async def test_bodies_of_get_and_delete_are_ignored(voip: httpx.AsyncClient) -> None:
    path = f"/voip/mailbox/{await a_mailbox(voip)}"
    assert (await voip.request("GET", path, content=b"\xff{")).status_code == 200
    assert (await voip.request("DELETE", path, content=b"\xff{")).status_code == 204
