"""`Idempotency-Key`: a request that is repeated has one effect and one answer."""

import asyncio
from typing import Any

import asyncpg
import httpx

from tests.support.running import AccountClient, RunningService, data_of, multipart


async def _store(
    account: AccountClient, vmbox_id: str, key: str, audio: bytes = b"audio", **data: Any
) -> httpx.Response:
    return await account.http.put(
        account.path("vmboxes", vmbox_id, "messages"),
        headers={"Idempotency-Key": key},
        **multipart(audio, "audio/mpeg", data),
    )


async def test_a_repeated_store_gives_the_first_answer_and_one_message(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    first = data_of(await _store(account, vmbox_id, "k1", caller_id_name="Ann"), 201)
    # Another multipart boundary is another body, and the same request.
    second = data_of(await _store(account, vmbox_id, "k1", caller_id_name="Ann"), 201)
    assert second == first
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [first["media_id"]]
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_the_answer_stays_when_the_message_has_changed(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    first = data_of(await _store(account, vmbox_id, "k"), 201)
    message = account.path("vmboxes", vmbox_id, "messages", first["media_id"])
    data_of(await account.http.post(message, json={"data": {"folder": "saved"}}))
    assert data_of(await _store(account, vmbox_id, "k"), 201) == first
    data_of(await account.http.delete(message))
    assert data_of(await _store(account, vmbox_id, "k"), 201) == first
    assert await account.listed(vmbox_id) == []


async def test_other_content_under_a_used_key_is_refused(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    data_of(await _store(account, vmbox_id, "k"), 201)
    for refused in (
        await _store(account, vmbox_id, "k", audio=b"other"),
        await _store(account, vmbox_id, "k", caller_id_name="Bob"),
    ):
        assert refused.status_code == 422
        assert refused.json()["message"] == "idempotency_key_reused"
    assert len(await account.listed(vmbox_id)) == 1


async def test_a_key_belongs_to_its_box(account: AccountClient) -> None:
    first, second = await account.a_vmbox(), await account.a_vmbox()
    item = data_of(await _store(account, first, "k"), 201)
    other = data_of(await _store(account, second, "k"), 201)
    assert item["media_id"] != other["media_id"]


async def test_a_refused_request_frees_its_key(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(max_message_count=1)
    blocking = await account.leave(vmbox_id)
    refused = await _store(account, vmbox_id, "k")
    assert refused.json()["message"] == "mailbox_full"
    await account.http.delete(account.path("vmboxes", vmbox_id, "messages", blocking))
    data_of(await _store(account, vmbox_id, "k", caller_id_name="changed"), 201)


async def test_many_concurrent_requests_with_one_key_store_one_message(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    answers = await asyncio.gather(*(_store(account, vmbox_id, "k") for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    stored = {data_of(item, 201)["media_id"] for item in answers if item.status_code == 201}
    assert len(stored) == 1
    for running in (item for item in answers if item.status_code == 409):
        assert running.json()["message"] == "idempotency_key_in_use"
        assert "retry-after" in running.headers
    assert len(await account.listed(vmbox_id)) == 1


async def test_a_json_only_store_is_idempotent_too(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "messages")
    answers = [
        data_of(
            await account.http.put(path, json={"data": {}}, headers={"Idempotency-Key": "k"}), 201
        )
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert len(await account.listed(vmbox_id)) == 1


async def test_a_repeated_move_or_copy_gives_the_first_result(account: AccountClient) -> None:
    source, target = await account.a_vmbox(), await account.a_vmbox()
    ids = [await account.leave(source) for _ in range(3)]
    path = account.path("vmboxes", source, "messages")
    for key, source_id in (("copy", [target]), ("move", target)):
        body = {"data": {"messages": ids, "source_id": source_id}}
        results = [
            data_of(await account.http.post(path, json=body, headers={"Idempotency-Key": key}))
            for _ in range(2)
        ]
        assert results[0] == results[1]
        assert len(results[0]["succeeded"]) == 3
    assert await account.counts(target) == {"new": 6, "saved": 0}


async def test_a_repeated_move_after_an_abort_keeps_its_ids(
    account: AccountClient, service: RunningService
) -> None:
    source, target = await account.a_vmbox(), await account.a_vmbox()
    ids = [await account.leave(source) for _ in range(3)]
    path = account.path("vmboxes", source, "messages")
    body = {"data": {"messages": ids, "source_id": target}}
    headers = {"Idempotency-Key": "k"}
    first = data_of(await account.http.post(path, json=body, headers=headers))
    # As a process leaves it that dies after the rows and before the answer.
    owner = await asyncpg.connect(service.servers.postgres.url())
    await owner.execute(
        "UPDATE idempotency SET answer = NULL, leased_until = now() WHERE account_id = $1::uuid",
        account.account_id,
    )
    await owner.close()
    again = data_of(await account.http.post(path, json=body, headers=headers))
    assert again == first
    assert await account.counts(target) == {"new": 3, "saved": 0}


async def test_a_key_that_is_none_is_refused(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    for key in ("", "x" * 256):
        refused = await _store(account, vmbox_id, key)
        assert refused.status_code == 400, key
        assert "idempotency-key" in refused.json()["data"]
