"""The envelope of every answer: KAZOO API docs, "Basics of the REST API"."""

import hashlib
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from tests.contract.described import DESCRIBED
from tests.contract.wire import NO_ID, a_message, golden, problems, refusal, success
from tests.support.running import AccountClient, data_of


async def test_a_box_answers_with_its_revision_and_metadata(account: AccountClient) -> None:
    settings = {"name": "Front desk", "mailbox": "3000", "pin": "0012", "some_key": "some_value"}
    made = await account.http.put(account.path("vmboxes"), json={"data": settings})
    envelope = success(made, account.token, 201, "revision", "metadata")
    vmbox_id, created = envelope["data"]["id"], envelope["metadata"]["created"]
    assert made.headers["location"] == f"/v2/{account.path('vmboxes', vmbox_id)}"
    names = {account.token: "AUTH_TOKEN", vmbox_id: "VM_BOX_ID", created: "CREATED"}
    golden("vmbox_created", made, names)

    path = account.path("vmboxes", vmbox_id)
    read = await account.http.get(path)
    assert success(read, account.token, 200, "revision", "metadata")["data"] == envelope["data"]
    assert read.json()["revision"] == envelope["revision"]
    assert read.headers["etag"] == f'"{envelope["revision"]}"'

    changed = await account.http.patch(path, json={"data": {"some_key": None, "name": "Desk"}})
    document = success(changed, account.token, 200, "revision", "metadata")["data"]
    assert (document["name"], document["pin"]) == ("Desk", "0012")
    assert "some_key" not in document
    assert changed.json()["revision"] != envelope["revision"]

    deleted = await account.http.delete(path)
    envelope = success(deleted, account.token, 200, "revision", "metadata")
    assert envelope["data"] == {**document, "_read_only": {"deleted": True}}
    assert envelope["metadata"]["deleted"] is True
    gone = refusal(await account.http.get(path), 404, "bad_identifier", account.token)
    assert gone == {
        "message": "bad identifier",
        "cause": vmbox_id,
    }


async def test_the_list_of_boxes_has_counts_and_an_empty_metadata(account: AccountClient) -> None:
    first = await account.a_vmbox(name="A", mailbox="1", owner_id=NO_ID, flags=["x"], pin="1234")
    second = await account.a_vmbox(name="B", mailbox="2")
    await account.leave(first)
    await account.leave(first, folder="saved")
    listed = await account.http.get(account.path("vmboxes"))
    envelope = success(listed, account.token, 200, "revision", "metadata", "page_size")
    assert envelope["revision"] == _digest(envelope["data"])
    names = {account.token: "AUTH_TOKEN", first: "FIRST", second: "SECOND"}
    golden("vmboxes_listed", listed, {**names, envelope["revision"]: "REVISION"})


async def test_pages_of_boxes_follow_each_other_by_name(account: AccountClient) -> None:
    ids = [await account.a_vmbox(name=name) for name in ("A", "B", "B", "C")]
    path = account.path("vmboxes")
    first = await account.http.get(path, params={"page_size": 2})
    keys = ("revision", "metadata", "page_size", "next_start_key")
    envelope = success(first, account.token, 200, *keys)
    assert envelope["page_size"] == 2
    following = {"page_size": 2, "start_key": envelope["next_start_key"]}
    second = success(
        await account.http.get(path, params=following),
        account.token,
        200,
        *("revision", "metadata", "page_size", "start_key"),
    )
    assert second["start_key"] == envelope["next_start_key"]
    rows = [*envelope["data"], *second["data"]]
    assert [row["name"] for row in rows] == ["A", "B", "B", "C"]
    assert {row["id"] for row in rows} == set(ids)
    everything = await account.http.get(path, params={"paginate": "false", "page_size": 2})
    assert success(everything, account.token, 200, "revision", "metadata")["data"] == rows


async def test_messages_answer_without_metadata_beside_their_data(account: AccountClient) -> None:
    vmbox_id, media_id, path = await a_message(account)
    stored = await account.http.put(
        account.path("vmboxes", vmbox_id, "messages"), json={"data": {}}
    )
    envelope = success(stored, account.token, 201)
    assert stored.headers["location"] == f"/v2/{path[: -len(media_id)]}{envelope['data']['id']}"
    success(await account.http.get(path), account.token)
    success(await account.http.post(path, json={"data": {"folder": "saved"}}), account.token)
    success(await account.http.delete(path), account.token)


async def test_a_page_of_messages_contains_its_start_key(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    for route in (account.path("vmboxes", vmbox_id, "messages"), account.path("vmboxes/messages")):
        empty = success(
            await account.http.get(route), account.token, 200, "revision", "page_size", "start_key"
        )
        assert (empty["data"], empty["page_size"]) == ([], 0)
    for _ in range(3):
        await account.leave(vmbox_id)
    for route in (account.path("vmboxes", vmbox_id, "messages"), account.path("vmboxes/messages")):
        first = await account.http.get(route, params={"page_size": 2})
        keys = ("revision", "page_size", "start_key", "next_start_key")
        envelope = success(first, account.token, 200, *keys)
        assert envelope["page_size"] == 2
        assert envelope["revision"] == _digest(envelope["data"])
        again = await account.http.get(
            route, params={"page_size": 2, "start_key": envelope["start_key"]}
        )
        assert data_of(again) == envelope["data"]
        assert again.json()["revision"] == envelope["revision"]
        everything = await account.http.get(route, params={"paginate": "false", "page_size": 2})
        assert len(success(everything, account.token, 200, "revision")["data"]) == 3


async def test_the_list_of_an_account_names_the_box_of_each_message(
    account: AccountClient,
) -> None:
    boxes = [await account.a_vmbox(), await account.a_vmbox()]
    ids = [await account.leave(vmbox_id) for vmbox_id in boxes]
    rows = data_of(await account.http.get(account.path("vmboxes", "messages")))
    assert {(box, row["media_id"]) for each in rows for box, row in each.items()} == {
        (boxes[0], ids[0]),
        (boxes[1], ids[1]),
    }
    assert all(len(each) == 1 for each in rows)


async def test_a_box_that_is_known_is_not_sent_again(account: AccountClient) -> None:
    path = account.path("vmboxes", await account.a_vmbox())
    etag = (await account.http.get(path)).headers["etag"]
    for known in (etag, f'"x", W/{etag}', f'"x" , {etag}', "*"):
        answer = await account.http.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    for other in ('"x"', etag.strip('"'), f'"x{etag.strip(chr(34))}"'):
        answer = await account.http.get(path, headers={"If-None-Match": other})
        assert answer.status_code == 200


async def test_a_box_is_changed_only_while_it_is_what_the_client_expects(
    account: AccountClient,
) -> None:
    path = account.path("vmboxes", await account.a_vmbox())
    other = account.path("vmboxes", await account.a_vmbox())
    changes = {"data": {"name": "New", "mailbox": "7"}}
    first = (await account.http.get(path)).headers["etag"]
    foreign = (await account.http.get(other)).headers["etag"]
    for way in ("PATCH", "POST"):
        etag = (await account.http.get(path)).headers["etag"]
        for expected in (f'"x", {etag}', "*"):
            headers = {"If-Match": expected}
            changed = await account.http.request(way, path, headers=headers, json=changes)
            assert changed.status_code == 200
            etag = changed.headers["etag"]
    for expected in (first, foreign, f"W/{etag}", f'"x", {first}', '"x"', ""):
        for way in ("GET", "PATCH", "POST", "DELETE"):
            headers = {"If-Match": expected}
            refused = await account.http.request(way, path, headers=headers, json=changes)
            assert refusal(refused, 412, "precondition_failed")
    assert (await account.http.get(path)).headers["etag"] == etag
    gone = await account.http.delete(path, headers={"If-Match": f'"x", {etag}'})
    assert gone.status_code == 200


async def test_the_keys_of_an_envelope_have_other_spellings(account: AccountClient) -> None:
    vmbox_id, media_id, _ = await a_message(account)
    other = await account.leave(vmbox_id)
    messages = account.path("vmboxes", vmbox_id, "messages")
    some = {"Data": {"messages": [media_id]}}
    gone = data_of(await account.http.request("DELETE", messages, json=some))
    assert gone == {"succeeded": [media_id], "failed": []}
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [other]

    envelope = {"Auth-Token": account.token, "Verb": "delete"}
    async with account.service.client("") as nobody:
        box = account.path("vmboxes", vmbox_id)
        answer = await nobody.post(box, json={"auth_token": account.token, "verb": ["delete"]})
        assert answer.json()["data"].keys() == {"name", "mailbox"}
        data_of(await nobody.post(box, json=envelope))
        inner = {"data": {"name": "Late", "mailbox": "9", "auth_token": account.token}}
        made = data_of(await nobody.put(account.path("vmboxes"), json=inner), 201)
    assert "auth_token" not in made
    assert (await account.http.get(box)).status_code == 404


async def test_an_unchanged_list_is_not_sent_again(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    for path in (
        account.path("vmboxes"),
        account.path("vmboxes", vmbox_id, "messages"),
        account.path("vmboxes", "messages"),
        account.path("users"),
        account.path("media"),
        account.path("webhooks"),
        account.path("children"),
    ):
        etag = (await account.http.get(path)).headers["etag"]
        again = await account.http.get(path, headers={"If-None-Match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), path
        other = await account.http.get(path, headers={"If-None-Match": '"x"'})
        assert other.headers["etag"] == etag


async def test_a_page_has_another_etag_when_a_next_page_exists(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id)
    path = account.path("vmboxes", vmbox_id, "messages")
    before = await account.http.get(path, params={"page_size": 1})
    await account.leave(vmbox_id, timestamp=data_of(before)[0]["timestamp"] - 3600)
    headers = {"If-None-Match": before.headers["etag"]}
    after = await account.http.get(path, params={"page_size": 1}, headers=headers)
    assert data_of(after) == data_of(before)
    assert "next_start_key" in after.json()


async def test_fields_narrow_documents_and_rows(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(
        name="Front desk", pin="0012", notify={"callback": {"number": "1001", "attempts": 3}}
    )
    media_id = await account.leave(vmbox_id)
    box = account.path("vmboxes", vmbox_id)
    row, message = {"id": vmbox_id, "name": "Front desk"}, {"media_id": media_id, "folder": "new"}
    number = {"notify": {"callback": {"number": "1001"}}}
    for path, fields, expected in (
        (box, "id,name", row),
        (box, "name , unknown,name.first,", {"name": "Front desk"}),
        (box, "notify.callback.number,pin.x", number),
        (box, "unknown", {}),
        (account.path("vmboxes"), "name,id", [row]),
        (f"{box}/messages", "media_id,folder", [message]),
        (f"{box}/messages/{media_id}", "media_id,folder", message),
        (account.path("vmboxes", "messages"), "folder,media_id", [{vmbox_id: message}]),
    ):
        answer = await account.http.get(path, params={"fields": fields})
        assert data_of(answer) == expected, fields
        assert answer.json().get("page_size", 1) == 1
    hooks = data_of(await account.http.get("webhooks", params={"fields": "id"}))
    assert {tuple(hook) for hook in hooks} == {("id",)}
    whole = await account.http.get(box, params={"fields": ""})
    assert data_of(whole) == data_of(await account.http.get(box))
    changed = await account.http.patch(
        box, params={"fields": "name"}, json={"data": {"name": "Desk"}}
    )
    assert data_of(changed) == {"name": "Desk"}


async def test_fields_are_refused_where_they_have_no_effect_and_without_limit(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox(name="Desk")
    box = account.path("vmboxes", vmbox_id)
    message = f"{box}/messages/{await account.leave(vmbox_id)}"
    for path in (f"{message}/raw", f"{box}/events", account.path("events")):
        refused = problems(await account.http.get(path, params={"fields": "id"}))
        assert list(refused["fields"]) == ["wrong_format"]
    change = {"data": {"name": "Other"}}
    for fields, rule in (("a," * 50 + "a", "maxItems"), ("a." * 1024 + "a", "maxLength")):
        answer = await account.http.patch(box, params={"fields": fields}, json=change)
        assert list(problems(answer)["fields"]) == [rule]
    assert data_of(await account.http.get(box))["name"] == "Desk"


async def test_schemas_are_public_and_are_the_rules_of_the_server(account: AccountClient) -> None:
    async with account.service.client("") as nobody:
        listed = await nobody.get("schemas")
        names = data_of(listed)
        assert {
            *("accounts", "mailbox_message", "media", "users", "vmboxes", "webhooks"),
            *("api_auth", "user_auth"),
        } <= set(names)
        assert names == sorted(names)
        assert data_of(await nobody.get("schemas", params={"fields": "id"})) == names
        schemas = {}
        for name in names:
            answer = await nobody.get(f"schemas/{name}")
            DESCRIBED.check(answer)
            schemas[name] = data_of(answer)
            jsonschema_rs.validator_for(schemas[name])
            assert schemas[name]["id"] == name
        assert schemas["vmboxes"]["properties"]["is_setup"]["default"] is False
        unknown = await nobody.get("schemas/devices")
        assert refusal(unknown, 404, "bad_identifier")["cause"] == "devices"
    for value in (listed, unknown):
        DESCRIBED.check(value)
    for document in (
        {"name": "Desk", "mailbox": "77", "pin": "1234"},
        {"name": "Desk", "mailbox": "78", "pin": "1"},
        {"name": "x" * 129, "mailbox": "79"},
        {"mailbox": "80"},
        {"name": "Desk", "mailbox": "81", "notify_email_addresses": ["no address"]},
        {"name": "Desk", "mailbox": "82", "vm_message_forward_type": "none", "timezone": "x"},
    ):
        validator = jsonschema_rs.validator_for(schemas["vmboxes"], validate_formats=True)
        stored = await account.http.put(account.path("vmboxes"), json={"data": document})
        assert (stored.status_code == 201) == validator.is_valid(document), document


@pytest.mark.long
async def test_lists_of_other_resources_are_empty_stubs_only_when_enabled(
    account: AccountClient,
) -> None:
    kinds = ("callflows", "devices", "cdrs", "faxboxes")
    for kind in kinds:
        answer = await account.http.get(account.path(kind))
        refusal(answer, 404, "not_found")
        DESCRIBED.check(answer)
    enabled = await account.service.another_api(AFTERTONE_KAZOO_NEIGHBOURS="true")
    other = await account.service.an_account()
    try:
        async with other.http, enabled.client(account.token) as client:
            for kind in kinds:
                answer = await client.get(account.path(kind))
                assert data_of(answer) == []
                assert answer.json()["page_size"] == 0
                DESCRIBED.check(answer)
                refusal(await client.get(other.path(kind)), 403, "forbidden")
            assert data_of(await client.get(account.path("faxboxes/"))) == []
    finally:
        await enabled.stop()


def _digest(rows: Any) -> str:
    """The revision of a list: MD5 over its data alone, so that equal lists have equal ones."""
    return hashlib.md5(msgspec.json.encode(rows), usedforsecurity=False).hexdigest()
