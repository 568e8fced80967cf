"""Greetings over HTTP: documents, audio, and the boxes that play them."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.wire import (
    NO_ID,
    audio_part,
    golden,
    json_part,
    mixed,
    problems,
    refusal,
    stored_greetings,
    success,
)
from tests.support.audio_samples import a_wav
from tests.support.running import AccountClient, RunningService, data_of

SOUND = bytes(range(256)) * 4
MP3 = {"Content-Type": "audio/mp3"}


@pytest_asyncio.fixture(loop_scope="session")
async def other(service: RunningService) -> AsyncIterator[AccountClient]:
    """Another tenant."""
    client = await service.an_account()
    yield client
    await client.http.aclose()


async def a_greeting(account: AccountClient, audio: bytes | None = None, **document: Any) -> str:
    """A new greeting; its id."""
    value = json_part(**{"name": "Away", **document})
    parts = [value] if audio is None else [value, audio_part(audio)]
    made = await account.http.put(account.path("media"), **mixed(*parts))
    media_id: str = data_of(made, 201)["id"]
    return media_id


async def test_a_greeting_is_created_read_changed_and_deleted(account: AccountClient) -> None:
    document = {"name": "Away", "description": "We are out", "language": "de-de", "x": {"y": [1]}}
    made = await account.http.put(account.path("media"), json={"data": document})
    envelope = success(made, account.token, 201, "revision")
    media_id = envelope["data"]["id"]
    golden("greeting_created", made, {account.token: "AUTH_TOKEN", media_id: "MEDIA_ID"})
    path = account.path("media", media_id)
    assert made.headers["location"] == f"/v2/{path}"
    assert data_of(await account.http.get(path)) == envelope["data"]
    changes = {"data": {"description": None, "x": {"z": 2}, "id": "y" * 32, "pvt_a": 1, "_b": 1}}
    patched = data_of(await account.http.patch(path, json=changes))
    assert patched == {
        "id": media_id,
        "name": "Away",
        "language": "de-de",
        "x": {"y": [1], "z": 2},
    }
    replaced = data_of(await account.http.post(path, json={"data": {"name": "Back"}}))
    assert replaced == {"id": media_id, "name": "Back", "language": "en-us"}
    gone = await account.http.delete(path)
    assert success(gone, account.token, 200, "revision")["data"] == {
        **replaced,
        "_read_only": {"deleted": True},
    }
    for method in ("GET", "POST", "PATCH", "DELETE"):
        body: dict[str, Any] = {"json": {"data": {"name": "N"}}} if method in "POSTPATCH" else {}
        again = await account.http.request(method, path, **body)
        assert refusal(again, 404, "bad_identifier")["cause"] == media_id


@pytest.mark.parametrize(
    ("document", "field", "rule"),
    [
        ({}, "name", "required"),
        ({"name": ""}, "name", "minLength"),
        ({"name": "x" * 129}, "name", "maxLength"),
        ({"name": 7}, "name", "type"),
        ({"name": None}, "name", "required"),
        ({"name": "N", "description": "x" * 129}, "description", "maxLength"),
        ({"name": "N", "language": ["de"]}, "language", "type"),
        ({"name": "N\0"}, "json", "invalid"),
        ({"name": "N", "note": "x" * 70_000}, "data", "maxSize"),
    ],
)
async def test_a_greeting_that_breaks_a_rule_is_refused(
    account: AccountClient, document: dict[str, Any], field: str, rule: str
) -> None:
    status = 413 if rule == "maxSize" else 400
    for form in ({"json": {"data": document}}, mixed(json_part(**document), audio_part(b"x"))):
        answer = await account.http.put(account.path("media"), **form)
        details = problems(answer, status)
        assert rule in details[field]
    assert data_of(await account.http.get(account.path("media"))) == []
    assert await stored_greetings(account) == []


async def test_greetings_are_listed_by_name_in_pages(account: AccountClient) -> None:
    names = ["Ann", "Bob", "Bob", "Cid", "zoe"]
    ids = [await a_greeting(account, name=name) for name in reversed(names)]
    route = account.path("media")
    everything = data_of(await account.http.get(route))
    assert [row["name"] for row in everything] == names
    assert everything[0] == {"id": ids[-1], "name": "Ann", "language": "en-us"}
    record: list[Any] = []
    query: dict[str, Any] = {"page_size": 2}
    while True:
        page = (await account.http.get(route, params=query)).json()
        assert page["page_size"] == len(page["data"])
        record += page["data"]
        if "next_start_key" not in page:
            break
        query["start_key"] = page["next_start_key"]
    assert record == everything
    backwards = data_of(await account.http.get(route, params={"descending": "true"}))
    assert backwards == everything[::-1]
    response = await account.http.get(route, params={"filter_name": "Bob"})
    assert [row["name"] for row in data_of(response)] == ["Bob", "Bob"]
    assert "page_size" not in (await account.http.get(route, params={"paginate": "false"})).json()
    for bad in ({"page_size": "0"}, {"start_key": "x"}):
        assert list(problems(await account.http.get(route, params=bad))) == list(bad)


async def test_audio_is_stored_with_the_message_or_later_and_can_be_replaced(
    account: AccountClient,
) -> None:
    media_id = await a_greeting(account, SOUND)
    path = account.path("media", media_id)
    document = data_of(await account.http.get(path))
    assert (document["content_type"], document["content_length"]) == ("audio/mp3", len(SOUND))
    (first,) = await stored_greetings(account)
    assert first.startswith(f"media/{account.account_id}/{media_id}/")
    wav = {"Content-Type": "audio/wav"}
    put = await account.http.put(f"{path}/raw", content=b"other", headers=wav)
    assert put.headers["location"] == f"/v2/{path}/raw"
    assert data_of(put, 201)["content_type"] == "audio/wav"
    (second,) = await stored_greetings(account)
    assert second != first
    changed = data_of(await account.http.post(path, json={"data": {"name": "N"}}))
    assert changed["content_length"] == len(b"other")
    uri = b"data:audio/ogg;base64," + base64.b64encode(SOUND)
    posted: dict[str, Any] = {"content": uri, "headers": {"Content-Type": "application/x-base64"}}
    assert data_of(await account.http.post(f"{path}/raw", **posted))["content_type"] == "audio/ogg"
    assert (await account.http.get(f"{path}/raw")).content == SOUND
    data_of(await account.http.delete(path))
    assert await stored_greetings(account) == []


async def test_the_type_of_a_greeting_is_determined_as_that_of_a_message(
    account: AccountClient,
) -> None:
    path = account.path("media", await a_greeting(account, SOUND, name="../.Away"), "raw")
    unknown = {"Content-Type": "application/octet-stream"}
    put = await account.http.put(path, content=a_wav(), headers=unknown)
    assert data_of(put, 201)["content_type"] == "audio/wav"
    name = (await account.http.get(path)).headers["content-disposition"]
    assert name == 'attachment; filename="_._.Away.wav"'
    for content, status in ((b"PK\x03\x04" + SOUND, 415), (a_wav()[:44], 400)):
        put = await account.http.put(path, content=content, headers=MP3)
        assert put.status_code == status
    assert (await account.http.get(path)).content == a_wav()


async def test_audio_is_served_as_that_of_messages_is(account: AccountClient) -> None:
    path = account.path("media", await a_greeting(account, SOUND, name='Zoë "\r\n/..'), "raw")
    whole = await account.http.get(path)
    assert (whole.status_code, whole.content) == (200, SOUND)
    assert whole.headers["content-type"] == "audio/mp3"
    assert whole.headers["accept-ranges"] == "bytes"
    output = whole.headers["content-disposition"]
    assert output.startswith('attachment; filename="Zo_ ____...mp3"; filename*=UTF-8')
    part = await account.http.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, SOUND[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(SOUND)}"
    beyond = await account.http.get(path, headers={"Range": "bytes=5000-"})
    refusal(beyond, 416, "range not satisfiable")
    known = await account.http.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    head = await account.http.head(path)
    assert (head.headers["content-length"], head.content) == (str(len(SOUND)), b"")
    refusal(await account.http.get(path, headers={"Accept": "text/html"}), 406, "not_acceptable")


async def test_a_message_without_audio_has_no_raw(account: AccountClient) -> None:
    path = account.path("media", await a_greeting(account), "raw")
    silent = refusal(await account.http.get(path), 404, "bad_identifier")
    assert silent["cause"] == "media does not have any audio file"
    forms: list[dict[str, Any]] = [{"json": {"data": {}}}, {"content": b"", "headers": MP3}]
    for form in forms:
        assert "required" in problems(await account.http.put(path, **form))["file"]
    too_much = await account.http.put(path, content=b"x" * 8_000_001, headers=MP3)
    assert "maxSize" in problems(too_much, 413)["file"]
    text = await account.http.put(path, content=b"x", headers={"Content-Type": "text/plain"})
    refusal(text, 415, "unsupported_media_type")
    assert await stored_greetings(account) == []


@pytest.mark.parametrize("field", ["unavailable", "temporary_unavailable"])
async def test_a_box_names_only_greetings_that_are_there(
    account: AccountClient, other: AccountClient, field: str
) -> None:
    media_id, foreign = await a_greeting(account), await a_greeting(other)
    vmbox_id = await account.a_vmbox(media={field: media_id})
    path = account.path("vmboxes", vmbox_id)
    for unknown in (NO_ID, foreign, "x" * 32, media_id.upper()):
        named = {"media": {field: unknown}}
        rules = {
            "not_found": {
                "message": "No resource has this id; send the id of an existing one",
                "value": unknown,
            }
        }
        patched = await account.http.patch(path, json={"data": named})
        assert problems(patched) == {f"media.{field}": rules}
        box = {"name": "N", "mailbox": "1", **named}
        made = await account.http.put(account.path("vmboxes"), json={"data": box})
        assert problems(made) == {f"media.{field}": rules}
    assert data_of(await account.http.get(path))["media"] == {field: media_id}
    assert len(data_of(await account.http.get(account.path("vmboxes")))) == 1


async def test_every_unknown_greeting_is_reported(account: AccountClient) -> None:
    both = {"unavailable": NO_ID, "temporary_unavailable": "x" * 32, "name": "kept"}
    box = {"data": {"name": "N", "mailbox": "1", "media": both}}
    answer = await account.http.put(account.path("vmboxes"), json=box)
    assert set(problems(answer)) == {"media.unavailable", "media.temporary_unavailable"}


async def test_an_unknown_greeting_is_reported_with_the_other_problems(
    account: AccountClient,
) -> None:
    await account.a_vmbox(mailbox="1")
    media = {"unavailable": NO_ID, "temporary_unavailable": "short"}
    taken = {"data": {"name": "N", "mailbox": "01", "media": {"unavailable": NO_ID}}}
    answer = await account.http.put(account.path("vmboxes"), json=taken)
    rules = {field: set(details) for field, details in problems(answer).items()}
    assert rules == {"mailbox": {"unique"}, "media.unavailable": {"not_found"}}
    wrong = {"data": {"mailbox": "1", "pin": "1", "media": media}}
    answer = await account.http.put(account.path("vmboxes"), json=wrong)
    rules = {field: set(details) for field, details in problems(answer).items()}
    assert rules == {
        "name": {"required"},
        "mailbox": {"unique"},
        "pin": {"minLength"},
        "media.unavailable": {"not_found"},
        "media.temporary_unavailable": {"minLength"},
    }


async def test_a_greeting_stays_while_a_box_plays_it(account: AccountClient) -> None:
    media_id, next_one = await a_greeting(account, SOUND), await a_greeting(account)
    path = account.path("media", media_id)
    both = {"unavailable": media_id, "temporary_unavailable": media_id}
    first = account.path("vmboxes", await account.a_vmbox(media=both))
    second = account.path("vmboxes", await account.a_vmbox(media={"unavailable": media_id}))
    third = account.path("vmboxes", await account.a_vmbox(media={"unavailable": media_id}))

    async def in_use() -> None:
        refused = await account.http.delete(path)
        assert refusal(refused, 409, "media_in_use") == {
            "message": "A mailbox uses the greeting; remove the greeting from the mailbox first."
        }
        assert (await account.http.get(f"{path}/raw")).content == SOUND

    await in_use()
    data_of(await account.http.patch(first, json={"data": {"media": {"unavailable": None}}}))
    data_of(await account.http.patch(first, json={"data": {"media": {"unavailable": next_one}}}))
    data_of(await account.http.delete(second))
    await in_use()
    data_of(await account.http.post(first, json={"data": {"name": "N", "mailbox": "5"}}))
    await in_use()
    data_of(await account.http.patch(third, json={"data": {"media": None}}))
    data_of(await account.http.delete(path))
    assert await stored_greetings(account) == []


async def test_anothers_greetings_are_as_if_they_were_not(
    account: AccountClient, other: AccountClient
) -> None:
    media_id = await a_greeting(account, SOUND)
    for method, route in (
        ("GET", "media/{M}"),
        ("POST", "media/{M}"),
        ("PATCH", "media/{M}"),
        ("DELETE", "media/{M}"),
        ("GET", "media/{M}/raw"),
        ("PUT", "media/{M}/raw"),
        ("POST", "media/{M}/raw"),
    ):
        body: dict[str, Any] = {} if method in ("GET", "DELETE") else {"json": {"data": {}}}
        if route.endswith("raw") and method != "GET":
            body = mixed(audio_part(b"x"))
        for unknown in (media_id, NO_ID, "no-id"):
            answer = await other.http.request(method, other.path(route.format(M=unknown)), **body)
            assert refusal(answer, 404, "bad_identifier")["cause"] == unknown
        answer = await other.http.request(method, account.path(route.format(M=media_id)), **body)
        refusal(answer, 403, "forbidden")
    for method in ("GET", "PUT"):
        body = {"json": {"data": {}}} if method == "PUT" else {}
        answer = await other.http.request(method, account.path("media"), **body)
        refusal(answer, 403, "forbidden")
    assert data_of(await other.http.get(other.path("media"))) == []
    assert (await account.http.get(account.path("media", media_id, "raw"))).content == SOUND
    assert await stored_greetings(other) == []


async def test_other_methods_are_not_allowed(account: AccountClient) -> None:
    media_id = await a_greeting(account)
    for path, methods in (
        (account.path("media"), ("POST", "PATCH", "DELETE")),
        (account.path("media", media_id), ("PUT",)),
        (account.path("media", media_id, "raw"), ("PATCH", "DELETE")),
    ):
        for method in methods:
            refusal(await account.http.request(method, path), 405, "invalid_method")
