"""Deleted boxes: their list, their restoration and their purge."""

from typing import Any
from uuid import UUID

import asyncpg
import httpx

from tests.contract.test_audit import audit_of
from tests.contract.test_quotas import limit_account
from tests.contract.wire import refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of

UNKNOWN = "0123456789abcdef0123456789abcdef"
DAY_S = 86_400


async def _trash(account: AccountClient, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = data_of(
        await account.http.get(account.path("trash"), params=query)
    )
    return rows


async def _delete(account: AccountClient, *vmbox_ids: str) -> None:
    for vmbox_id in vmbox_ids:
        data_of(await account.http.delete(account.path("vmboxes", vmbox_id)))


async def _restore(
    account: AccountClient, *vmbox_ids: str, key: str | None = None
) -> httpx.Response:
    return await account.http.post(
        account.path("trash"),
        json={"data": {"vmboxes": list(vmbox_ids)}},
        headers={"Idempotency-Key": key} if key else {},
    )


async def _purge(account: AccountClient, *vmbox_ids: str) -> Any:
    body = {"data": {"vmboxes": list(vmbox_ids)}} if vmbox_ids else None
    return data_of(await account.http.request("DELETE", account.path("trash"), json=body))


async def _execute(service: RunningService, statement: str, *values: object) -> None:
    owner = await asyncpg.connect(service.servers.postgres.url())
    await owner.execute(statement, *values)
    await owner.close()


async def test_the_trash_lists_deleted_boxes_the_last_deleted_first(
    account: AccountClient, service: RunningService
) -> None:
    first, second, kept, old = [await account.a_vmbox(name=name) for name in "abcd"]
    assert await _trash(account) == []
    await _delete(account, old, first, second)
    age = "UPDATE vmbox_counts SET deleted_at = now() - interval '8 days' WHERE vmbox_id = $1"
    await _execute(service, age, UUID(old))
    rows = await _trash(account)
    assert [(row["id"], row["name"]) for row in rows] == [(second, "b"), (first, "a")]
    assert {row["restorable_until"] - row["deleted_at"] for row in rows} == {7 * DAY_S}
    answer = await account.http.get(account.path("trash"), params={"page_size": "1"})
    start = answer.json()["next_start_key"]
    assert await _trash(account, page_size="1", start_key=start) == rows[1:]
    assert data_of(await _restore(account, old))["failed"] == [{old: "not_found"}]
    data_of(await account.http.patch(account.path(), json={"data": {"trash_days": 9}}))
    assert [row["id"] for row in await _trash(account)] == [second, first, old]
    assert data_of(await _restore(account, old, kept))["succeeded"] == [old, kept]


async def test_a_restored_box_returns_with_all_that_it_had(account: AccountClient) -> None:
    media = account.path("media")
    greetings = [
        data_of(await account.http.put(media, json={"data": {"name": name}}), 201)["id"]
        for name in ("kept", "lost")
    ]
    vmbox_id = await account.a_vmbox(
        mailbox="0100",
        aliases=["200"],
        pin="4711",
        media=dict(zip(("unavailable", "temporary_unavailable"), greetings, strict=True)),
    )
    path = account.path("vmboxes", vmbox_id)
    new, saved, deleted, removed = [await account.leave(vmbox_id, an_mp3()) for _ in range(4)]
    for media_id, folder in ((saved, "saved"), (deleted, "deleted")):
        change = {"data": {"folder": folder}}
        data_of(await account.http.post(f"{path}/messages/{media_id}", json=change))
    pending = data_of(await account.http.put(f"{path}/messages", json={"data": {}}), 201)
    data_of(await account.http.delete(f"{path}/messages/{removed}"))
    before = data_of(await account.http.get(path))
    await _delete(account, vmbox_id)
    data_of(await account.http.delete(f"{media}/{greetings[1]}"))
    assert data_of(await _restore(account, vmbox_id, UNKNOWN, "nonsense")) == {
        "succeeded": [vmbox_id],
        "failed": [{UNKNOWN: "not_found"}, {"nonsense": "not_found"}],
    }
    after = data_of(await account.http.get(path))
    assert after == before | {"media": {"unavailable": greetings[0]}}
    rows = {row["media_id"]: row["folder"] for row in await account.listed(vmbox_id)}
    assert rows == {
        new: "new",
        saved: "saved",
        deleted: "deleted",
        pending["media_id"]: "new",
    }
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 1}
    assert (await account.http.get(f"{path}/messages/{new}/raw")).content == an_mp3()
    trash = data_of(await account.http.get(f"{path}/trash"))
    assert [row["media_id"] for row in trash] == [removed]
    in_use = await account.http.delete(f"{media}/{greetings[0]}")
    assert in_use.json()["message"] == "media_in_use"
    again = await account.http.put(
        account.path("vmboxes"), json={"data": {"name": "Other", "mailbox": "100"}}
    )
    assert again.status_code == 400
    records = await audit_of(account, vmbox=vmbox_id, action="vmbox.restored")
    assert len(records) == 1
    assert await _trash(account) == []


async def test_a_box_whose_number_was_taken_is_refused_with_the_number(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox(mailbox="0300", aliases=["301", "302"])
    other = await account.a_vmbox()
    await _delete(account, vmbox_id, other)
    taker = await account.a_vmbox(mailbox="300", aliases=["302"])
    refused = refusal(await _restore(account, vmbox_id), 409, "number_taken")
    assert refused["numbers"] == ["0300", "302"]
    assert data_of(await _restore(account, vmbox_id, other)) == {
        "succeeded": [other],
        "failed": [{vmbox_id: "number_taken"}],
        "numbers": {vmbox_id: ["0300", "302"]},
    }
    assert (await account.http.get(account.path("vmboxes", vmbox_id))).status_code == 404
    await _delete(account, taker)
    assert data_of(await _restore(account, vmbox_id))["succeeded"] == [vmbox_id]


async def test_boxes_beyond_a_quota_stay_in_the_trash(account: AccountClient) -> None:
    small, large = await account.a_vmbox(), await account.a_vmbox()
    await account.leave(small, b"x" * 400)
    await account.leave(large, b"x" * 700)
    await _delete(account, small, large)
    await limit_account(account, stored_bytes=1_000)
    assert data_of(await _restore(account, small, large)) == {
        "succeeded": [small],
        "failed": [{large: "quota_exceeded"}],
    }
    await limit_account(account, boxes=1, stored_bytes=0)
    assert data_of(await _restore(account, large))["failed"] == [{large: "quota_exceeded"}]
    await limit_account(account, boxes=2)
    assert data_of(await _restore(account, large))["succeeded"] == [large]


async def test_a_restoration_under_a_key_takes_effect_once(
    account: AccountClient, service: RunningService
) -> None:
    first, second = await account.a_vmbox(), await account.a_vmbox()
    await _delete(account, first, second)
    result = data_of(await _restore(account, first, second, key="k"))
    assert result["succeeded"] == [first, second]
    await _delete(account, first)
    assert data_of(await _restore(account, first, second, key="k")) == result
    assert [row["id"] for row in await _trash(account)] == [first]
    # As a process leaves it that is killed after the restoration and before the answer.
    expire = "UPDATE idempotency SET answer = NULL, leased_until = now() WHERE account_id = $1"
    await _execute(service, expire, UUID(account.account_id))
    again = data_of(await _restore(account, first, second, key="k"))
    assert again == {"succeeded": [second], "failed": [{first: "not_found"}]}


async def test_a_purge_deletes_deleted_boxes_and_nothing_else(
    account: AccountClient, service: RunningService
) -> None:
    boxes = [await account.a_vmbox() for _ in range(4)]
    media_ids = {vmbox_id: await account.leave(vmbox_id) for vmbox_id in boxes}
    *deleted, kept = boxes
    await _delete(account, *deleted)
    assert await _purge(account, deleted[0], kept, UNKNOWN) == {
        "succeeded": [deleted[0]],
        "failed": [{kept: "not_found"}, {UNKNOWN: "not_found"}],
    }
    assert {row["id"] for row in await _trash(account)} == set(deleted[1:])
    assert set((await _purge(account))["succeeded"]) == set(deleted[1:])
    assert await _trash(account) == []
    assert data_of(await _restore(account, deleted[1]))["failed"] == [{deleted[1]: "not_found"}]
    assert [row["media_id"] for row in await account.listed(kept)] == [media_ids[kept]]
    owner = await asyncpg.connect(service.servers.postgres.url())
    for table in ("vmboxes", "vmbox_counts", "messages"):
        rows = await owner.fetch(
            f"SELECT vmbox_id FROM {table} WHERE account_id = $1",  # noqa: S608
            UUID(account.account_id),
        )
        assert [row["vmbox_id"].hex for row in rows] == [kept]
    await owner.close()
    (record,) = await audit_of(account, vmbox=deleted[1], action="vmbox.purged")
    assert record["result"] == "success"


async def test_a_selection_of_boxes_must_be_a_list_of_ids(account: AccountClient) -> None:
    for selection in (None, [], "x", [1], ["x"] * 1_001):
        for method in ("POST", "DELETE"):
            answer = await account.http.request(
                method, account.path("trash"), json={"data": {"vmboxes": selection}}
            )
            assert (answer.status_code, method, selection) == (400, method, selection)
