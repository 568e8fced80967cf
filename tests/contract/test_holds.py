"""Legal holds: what they keep, who reads the held messages, and their release."""

import hashlib
import io
import json
from typing import Any
from zipfile import ZipFile

import asyncpg
import pytest

from tests.contract.test_accounts_cli import aftertone
from tests.contract.test_audit import recorded
from tests.contract.wire import refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, data_of, multipart

CASE = {"name": "Case 4711", "reason": "Court order"}


async def _hold(account: AccountClient, **fields: Any) -> dict[str, Any]:
    answer = await account.http.put(account.path("holds"), json={"data": {**CASE, **fields}})
    hold: dict[str, Any] = data_of(answer, 201)
    return hold


async def _held(account: AccountClient, hold_id: str, **query: Any) -> list[str]:
    ids: list[str] = []
    path, start = account.path("holds", hold_id, "messages"), ""
    while True:
        answer = await account.http.get(path, params={**query, "start_key": start})
        ids += [row["media_id"] for row in data_of(answer)]
        start = answer.json().get("next_start_key", "")
        if not start:
            return ids


async def _remove(account: AccountClient, vmbox_id: str, *ids: str) -> None:
    for media_id in ids:
        data_of(await account.http.delete(account.path("vmboxes", vmbox_id, "messages", media_id)))


async def _purge(account: AccountClient) -> None:
    """Runs the keeper a month after all removals and deletions."""
    owner = await asyncpg.connect(account.service.servers.postgres.url())
    for table, column in (("vmbox_counts", "deleted_at"), ("messages", "removed_at")):
        await owner.execute(
            f"UPDATE {table} SET {column} = {column} - interval '1 month'"  # noqa: S608
            " WHERE account_id = $1::uuid",
            account.account_id,
        )
        await aftertone(account.service, "keeper", "--once", "expiry")
    await owner.close()
    await aftertone(account.service, "keeper", "--once", "purge")


@pytest.mark.long
async def test_a_held_message_outlives_removal_purge_and_the_deletion_of_its_box(
    account: AccountClient,
) -> None:
    vmbox_id, other_box = await account.a_vmbox(), await account.a_vmbox()
    unheld = await account.leave(vmbox_id, caller_id_number="5550001")
    early = await account.leave(vmbox_id, an_mp3(), caller_id_number="0049 89 1234567")
    hold_id = (await _hold(account, caller_id_number="+49 (0)89/123-45.67"))["id"]
    late = await account.leave(other_box, an_mp3(), caller_id_number="0891234567")
    uri: dict[str, Any] = {"from": "+49891234567@example.org"}
    by_uri = await account.leave(vmbox_id, **uri)
    held = sorted([by_uri, late, early], reverse=True)
    assert await _held(account, hold_id) == held
    assert await _held(account, hold_id, page_size=1) == held
    raw = account.path("vmboxes", vmbox_id, "messages", early, "raw")
    replaced = await account.http.put(raw, **multipart(an_mp3(), "audio/mpeg", {}))
    refusal(replaced, 409, "legal_hold")
    await _remove(account, vmbox_id, early, by_uri)
    selection = {"data": {"messages": [late, early, unheld, by_uri]}}
    answer = await account.http.post(account.path("vmboxes", vmbox_id, "holds"), json=selection)
    assert data_of(answer) == {"held": [early, by_uri]}
    trash = account.path("vmboxes", vmbox_id, "trash")
    body = {"data": {"messages": [early]}}
    result = data_of(await account.http.request("DELETE", trash, json=body))
    assert result == {"succeeded": [], "failed": [{early: "legal_hold"}]}
    assert data_of(await account.http.delete(trash))["succeeded"] == []
    data_of(await account.http.delete(account.path("vmboxes", other_box)))
    await _purge(account)
    assert await _held(account, hold_id) == held
    path = account.path("holds", hold_id, "messages", late, "raw")
    assert (await account.http.get(path)).content == an_mp3()
    data_of(await account.http.delete(account.path("holds", hold_id)))
    refusal(await account.http.get(path), 404, "bad_identifier")
    await _purge(account)
    assert await _held(account, (await _hold(account, vmbox_ids=[vmbox_id]))["id"]) != []
    everything = (await _hold(account))["id"]
    assert not set(held) & set(await _held(account, everything))


async def test_an_export_has_a_manifest_with_the_digest_of_each_file(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    hold = await _hold(account, vmbox_ids=[vmbox_id])
    messages = account.path("vmboxes", vmbox_id, "messages")
    pending = data_of(await account.http.put(messages, json={"data": {}}), 201)["media_id"]
    removed, kept = [await account.leave(vmbox_id, an_mp3()) for _ in range(2)]
    await _remove(account, vmbox_id, removed)
    answer = await account.http.get(account.path("holds", hold["id"], "export"))
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        rows = {row["media_id"]: row for row in manifest["messages"]}
        for media_id in (removed, kept):
            audio = archive.read(rows[media_id]["file"])
            assert audio == an_mp3()
            assert rows[media_id]["sha256"] == hashlib.sha256(audio).hexdigest()
            assert rows[media_id]["is_unchanged"]
        assert archive.namelist()[-1] == "manifest.json"
    assert manifest["hold"] == hold
    assert manifest["message_count"] == len(rows) == 3
    assert "file" not in rows[pending]
    assert {media_id for media_id, row in rows.items() if "removed_at" in row} == {removed}


async def test_every_access_to_a_hold_is_in_the_audit(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, an_mp3())
    hold_id = (await _hold(account))["id"]
    path = account.path("holds", hold_id)
    for read in ("", "/messages", f"/messages/{media_id}/raw", "/export"):
        assert (await account.http.get(f"{path}{read}")).status_code == 200
    data_of(await account.http.get(account.path("holds")))
    data_of(await account.http.delete(path))
    (played, exported) = await recorded(account, 2, action="message.audio_read")
    assert {played["target"], exported["target"]} == {hold_id}
    assert played["media_id"] == media_id
    accesses = await recorded(account, 4, action="hold.read")
    assert [row.get("target") for row in accesses].count(hold_id) == 3
    for action in ("hold.created", "hold.exported", "hold.released"):
        (row,) = await recorded(account, action=action)
        assert row["target"] == hold_id


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"name": ""}, "name", "minLength"),
        ({"reason": None}, "reason", "required"),
        ({"vmbox_ids": ["f" * 32]}, "vmbox_ids", "not_found"),
        ({"caller_id_number": "+ (0)"}, "caller_id_number", "wrong_format"),
        ({"created_from": "yesterday"}, "created_from", "wrong_format"),
        (
            {"created_from": "2026-02-01T00:00:00Z", "created_to": "2026-01-01T00:00:00Z"},
            "created_to",
            "date_range",
        ),
    ],
)
async def test_an_invalid_hold_is_refused_with_the_field(
    account: AccountClient, fields: dict[str, Any], field: str, rule: str
) -> None:
    answer = await account.http.put(account.path("holds"), json={"data": {**CASE, **fields}})
    assert rule in refusal(answer, 400, "validation error")[field]
    assert data_of(await account.http.get(account.path("holds"))) == []
