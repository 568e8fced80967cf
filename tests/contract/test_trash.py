"""Removed messages: their list, their restoration and their purge."""

from typing import Any

import asyncpg
import httpx

from tests.contract.test_audit import audit_of
from tests.contract.test_quotas import limit_account
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of

UNKNOWN = "202601-0123456789abcdef0123456789abcdef"
DAY_S = 86_400


async def _trash(account: AccountClient, vmbox_id: str, **query: Any) -> list[dict[str, Any]]:
    path = account.path("vmboxes", vmbox_id, "trash")
    rows: list[dict[str, Any]] = data_of(await account.http.get(path, params=query))
    return rows


async def _ids(account: AccountClient, vmbox_id: str) -> list[str]:
    return [row["media_id"] for row in await _trash(account, vmbox_id)]


async def _remove(account: AccountClient, vmbox_id: str, *ids: str) -> None:
    for media_id in ids:
        data_of(await account.http.delete(account.path("vmboxes", vmbox_id, "messages", media_id)))


async def _restore(
    account: AccountClient, vmbox_id: str, *ids: str, key: str | None = None
) -> httpx.Response:
    return await account.http.post(
        account.path("vmboxes", vmbox_id, "trash"),
        json={"data": {"messages": list(ids)}},
        headers={"Idempotency-Key": key} if key else {},
    )


async def _purge(account: AccountClient, vmbox_id: str, *ids: str) -> Any:
    body = {"data": {"messages": list(ids)}} if ids else None
    path = account.path("vmboxes", vmbox_id, "trash")
    return data_of(await account.http.request("DELETE", path, json=body))


async def _change_account(account: AccountClient, **fields: Any) -> None:
    data_of(await account.http.patch(account.path(), json={"data": fields}))


async def _age(service: RunningService, vmbox_id: str, change: str) -> None:
    owner = await asyncpg.connect(service.servers.postgres.url())
    await owner.execute(
        f"UPDATE messages SET {change} WHERE vmbox_id = $1::uuid AND removed_at IS NOT NULL",  # noqa: S608
        vmbox_id,
    )
    await owner.close()


async def test_the_trash_lists_removed_messages_the_last_removed_first(
    account: AccountClient,
) -> None:
    vmbox_id, other = await account.a_vmbox(), await account.a_vmbox()
    first, second, moved, kept = [await account.leave(vmbox_id) for _ in range(4)]
    messages = account.path("vmboxes", vmbox_id, "messages")
    pending = data_of(await account.http.put(messages, json={"data": {}}), 201)["media_id"]
    assert await _trash(account, vmbox_id) == []
    move = {"data": {"messages": [moved], "source_id": other}}
    data_of(await account.http.post(messages, json=move))
    await _remove(account, vmbox_id, second, first, pending)
    rows = await _trash(account, vmbox_id)
    assert [row["media_id"] for row in rows] == [first, second]
    assert {row["restorable_until"] - row["removed_at"] for row in rows} == {7 * DAY_S}
    answer = await account.http.get(
        account.path("vmboxes", vmbox_id, "trash"), params={"page_size": "1"}
    )
    start = answer.json()["next_start_key"]
    assert await _trash(account, vmbox_id, page_size="1", start_key=start) == rows[1:]
    assert await _ids(account, other) == []
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [kept]


async def test_a_restored_message_returns_to_its_folder_with_counts_event_and_audit(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    new, saved = await account.leave(vmbox_id, an_mp3()), await account.leave(vmbox_id)
    path = account.path("vmboxes", vmbox_id, "messages", saved)
    data_of(await account.http.post(path, json={"data": {"folder": "saved"}}))
    await _remove(account, vmbox_id, new, saved)
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 0}
    result = data_of(await _restore(account, vmbox_id, saved, UNKNOWN, new, "nonsense"))
    assert result == {
        "succeeded": [saved, new],
        "failed": [{UNKNOWN: "not_found"}, {"nonsense": "not_found"}],
    }
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 1}
    assert await _trash(account, vmbox_id) == []
    audio = await account.http.get(account.path("vmboxes", vmbox_id, "messages", new, "raw"))
    assert audio.content == an_mp3()
    rows = await audit_of(account, vmbox=vmbox_id)
    actions = [row["action"] for row in rows if row["action"] != "message.audio_read"]
    assert actions[:3] == ["message.restored", "message.restored", "message.removed"]
    # A message that is in the box is not changed.
    assert data_of(await _restore(account, vmbox_id, new))["succeeded"] == [new]
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 1}


async def test_trash_days_of_the_account_bound_the_trash(
    account: AccountClient, service: RunningService
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    await _remove(account, vmbox_id, media_id)
    await _age(service, vmbox_id, "removed_at = now() - interval '8 days'")
    assert await _trash(account, vmbox_id) == []
    assert data_of(await _restore(account, vmbox_id, media_id))["failed"] == [
        {media_id: "not_found"}
    ]
    await _change_account(account, trash_days=9)
    assert await _ids(account, vmbox_id) == [media_id]
    assert data_of(await _restore(account, vmbox_id, media_id))["succeeded"] == [media_id]
    refused = await account.http.patch(account.path(), json={"data": {"trash_days": 0}})
    assert refused.status_code == 400


async def test_a_message_past_its_retention_is_not_restored(
    account: AccountClient, service: RunningService
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    await _remove(account, vmbox_id, media_id)
    await _age(service, vmbox_id, "received_at = now() - interval '100 days'")
    assert await _trash(account, vmbox_id) == []
    assert data_of(await _restore(account, vmbox_id, media_id))["failed"] == [
        {media_id: "prior_to_retention_duration"}
    ]


async def test_messages_beyond_the_quota_stay_in_the_trash(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    ids = [await account.leave(vmbox_id, b"x" * 400) for _ in range(3)]
    await _remove(account, vmbox_id, *ids)
    await limit_account(account, stored_bytes=1_000)
    result = data_of(await _restore(account, vmbox_id, *ids))
    assert result == {"succeeded": ids[:2], "failed": [{ids[2]: "quota_exceeded"}]}
    assert await account.counts(vmbox_id) == {"new": 2, "saved": 0}
    assert await _ids(account, vmbox_id) == ids[2:]


async def test_a_restore_under_a_key_takes_effect_once(
    account: AccountClient, service: RunningService
) -> None:
    vmbox_id = await account.a_vmbox()
    first, second = await account.leave(vmbox_id), await account.leave(vmbox_id)
    await _remove(account, vmbox_id, first, second)
    result = data_of(await _restore(account, vmbox_id, first, second, key="k"))
    assert result["succeeded"] == [first, second]
    await _remove(account, vmbox_id, first)
    assert data_of(await _restore(account, vmbox_id, first, second, key="k")) == result
    assert await _ids(account, vmbox_id) == [first]
    refused = await _restore(account, vmbox_id, first, key="k")
    assert refused.json()["message"] == "idempotency_key_reused"
    # As a process leaves it that is killed after the restoration and before the answer.
    owner = await asyncpg.connect(service.servers.postgres.url())
    await owner.execute(
        "UPDATE idempotency SET answer = NULL, leased_until = now() WHERE account_id = $1::uuid",
        account.account_id,
    )
    await owner.close()
    again = data_of(await _restore(account, vmbox_id, first, second, key="k"))
    assert again == {"succeeded": [second], "failed": [{first: "not_found"}]}
    assert await _ids(account, vmbox_id) == [first]


async def test_a_purge_deletes_removed_messages_and_nothing_else(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    first, second, third, kept = [await account.leave(vmbox_id) for _ in range(4)]
    await _remove(account, vmbox_id, first, second, third)
    result = await _purge(account, vmbox_id, second, kept, UNKNOWN)
    assert result == {
        "succeeded": [second],
        "failed": [{kept: "not_found"}, {UNKNOWN: "not_found"}],
    }
    assert await _ids(account, vmbox_id) == [third, first]
    assert set((await _purge(account, vmbox_id))["succeeded"]) == {first, third}
    assert await _trash(account, vmbox_id) == []
    assert data_of(await _restore(account, vmbox_id, first))["failed"] == [{first: "not_found"}]
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [kept]
    for media_id in (first, second, third):
        rows = await audit_of(account, message=media_id)
        assert rows[0]["action"] == "message.purged"


async def test_the_trash_of_an_unknown_box_is_not_found(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    await _remove(account, vmbox_id, media_id)
    data_of(await account.http.delete(account.path("vmboxes", vmbox_id)))
    path = account.path("vmboxes", vmbox_id, "trash")
    answers = [
        await account.http.get(path),
        await _restore(account, vmbox_id, media_id),
        await _restore(account, vmbox_id, media_id, key="k"),
        await account.http.delete(path),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
