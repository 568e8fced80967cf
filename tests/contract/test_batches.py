"""Batches: folder changes, moves, copies and removals (KAZOO API docs, "Voicemail")."""

from typing import Any

from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, data_of

UNKNOWN = "202601-0123456789abcdef0123456789abcdef"


async def _post(account: AccountClient, vmbox_id: str, *more: str, **data: Any) -> Any:
    path = account.path("vmboxes", vmbox_id, "messages", *more)
    return await account.http.post(path, json={"data": data})


def _from(name: str) -> dict[str, Any]:
    return {"caller_id_name": name, "from": f"{name}@example.com"}


async def test_bulk_results_are_in_request_order_and_name_what_failed(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    ids = [await account.leave(vmbox_id) for _ in range(5)]
    requested = [ids[3], UNKNOWN, ids[0], "nonsense", ids[4]]
    result = data_of(await _post(account, vmbox_id, messages=requested, folder="saved"))
    assert result["succeeded"] == [ids[3], ids[0], ids[4]]
    assert result["failed"] == [{UNKNOWN: "not_found"}, {"nonsense": "not_found"}]
    assert await account.counts(vmbox_id) == {"new": 2, "saved": 3}


async def test_a_moved_message_has_a_new_id_and_the_same_bytes(account: AccountClient) -> None:
    source, target = await account.a_vmbox(), await account.a_vmbox(mailbox="4000")
    media_id = await account.leave(source, an_mp3(), caller_id_name="Ann")
    moved = data_of(await _post(account, source, media_id, source_id=target))
    assert moved["media_id"] != media_id
    assert (moved["folder"], moved["caller_id_name"]) == ("new", "Ann")
    assert moved["to"] == f"4000@{account.realm}"
    audio = await account.http.get(
        account.path("vmboxes", target, "messages", moved["media_id"], "raw")
    )
    assert audio.content == an_mp3()
    assert await account.listed(source) == []
    assert await account.counts(source) == {"new": 0, "saved": 0}
    assert await account.counts(target) == {"new": 1, "saved": 0}


async def test_a_copy_leaves_the_source_where_it_was(account: AccountClient) -> None:
    source, first, second = [await account.a_vmbox() for _ in range(3)]
    media_id = await account.leave(source)
    result = data_of(await _post(account, source, media_id, source_id=[first, second]))
    assert len(result["succeeded"]) == 2
    assert result["failed"] == []
    for vmbox_id in (source, first, second):
        assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_bulk_moves_and_copies_report_new_ids_and_failures(account: AccountClient) -> None:
    source, target = await account.a_vmbox(), await account.a_vmbox()
    ids = [await account.leave(source, f"audio {n}".encode()) for n in range(3)]
    pending = data_of(
        await account.http.put(account.path("vmboxes", source, "messages"), json={"data": {}}), 201
    )["media_id"]
    copied = data_of(
        await _post(account, source, messages=[*ids, UNKNOWN, pending], source_id=[target])
    )
    assert len(copied["succeeded"]) == 3
    assert copied["failed"] == [{UNKNOWN: "not_found"}, {pending: "no_audio"}]
    moved = data_of(await _post(account, source, messages=ids, source_id=target))
    assert len(moved["succeeded"]) == 3
    assert not set(moved["succeeded"]) & set(ids)
    assert await account.counts(source) == {"new": 0, "saved": 0}
    assert await account.counts(target) == {"new": 6, "saved": 0}
    again = data_of(await _post(account, source, messages=ids, source_id=target))
    assert again == {"succeeded": [], "failed": [{item: "not_found"} for item in ids]}


async def test_moving_into_the_same_box_keeps_the_counts(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, folder="saved")
    moved = data_of(await _post(account, vmbox_id, media_id, source_id=vmbox_id))
    assert moved["media_id"] != media_id
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_a_bad_target_is_refused_before_anything_moves(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    gone = "0" * 32
    attempts: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        ((media_id,), {"source_id": gone}),
        ((media_id,), {"source_id": [gone]}),
        ((), {"messages": [media_id], "source_id": gone}),
        ((), {"messages": [media_id], "source_id": [gone]}),
    ]
    for more, data in attempts:
        refused = await _post(account, vmbox_id, *more, **data)
        assert refused.status_code == 404
        assert refused.json()["data"]["cause"] == gone
    for source_id in ("", [], [""]):
        for more, data in attempts:
            refused = await _post(account, vmbox_id, *more, **{**data, "source_id": source_id})
            assert refused.status_code == 400
            assert "required" in refused.json()["data"]["source_id"]
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_a_bulk_without_ids_or_with_too_many_is_refused(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    wrongs: list[Any] = [None, [], "x", {}, [1]]
    for wrong in wrongs:
        refused = await _post(account, vmbox_id, messages=wrong)
        assert refused.json()["data"]["messages"]["required"], wrong
    refused = await _post(account, vmbox_id, messages=[UNKNOWN] * 1001)
    assert refused.status_code == 400
    assert refused.json()["data"]["messages"]["maxItems"]["target"] == 1000


async def test_all_messages_or_those_of_one_folder_are_removed(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    new = [await account.leave(vmbox_id) for _ in range(2)]
    saved = [await account.leave(vmbox_id, folder="saved") for _ in range(2)]
    nothing = await account.http.request("DELETE", messages, json={"data": {"messages": []}})
    assert data_of(nothing) == {"succeeded": [], "failed": []}
    unknown = await account.http.request(
        "DELETE", messages, json={"data": {"messages": [new[0], UNKNOWN]}}
    )
    assert data_of(unknown) == {"succeeded": [new[0]], "failed": [{UNKNOWN: "not_found"}]}
    by_folder = data_of(await account.http.delete(messages, params={"folder": "saved"}))
    assert sorted(by_folder["succeeded"]) == sorted(saved)
    assert data_of(await account.http.delete(messages))["succeeded"] == [new[1]]
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 0}
    assert (await account.http.delete(messages, params={"folder": "x"})).status_code == 400


async def test_hundreds_of_messages_change_in_one_request(account: AccountClient) -> None:
    vmbox_id, target = await account.a_vmbox(), await account.a_vmbox()
    first = await account.leave(vmbox_id)
    ids = [first]
    for _ in range(2):
        copies = data_of(
            await _post(account, vmbox_id, messages=ids, source_id=[vmbox_id, target])
        )["succeeded"]
        ids = [row["media_id"] for row in await account.listed(vmbox_id, page_size=1000)]
        assert copies
    while len(ids) < 250:
        data_of(await _post(account, vmbox_id, messages=ids, source_id=[vmbox_id]))
        ids = [row["media_id"] for row in await account.listed(vmbox_id, page_size=1000)]
    result = data_of(await _post(account, vmbox_id, messages=ids, folder="saved"))
    assert result == {"succeeded": ids, "failed": []}
    assert await account.counts(vmbox_id) == {"new": 0, "saved": len(ids)}


async def test_a_filtered_list_is_removed_as_far_as_the_filters_hold(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    ann, bob = [
        await account.leave(vmbox_id, b"audio", "audio/mpeg", **_from(name))
        for name in ("Ann", "Bob")
    ]
    saved = await account.leave(vmbox_id, caller_id_name="Ann", folder="saved")

    async def removed(query: dict[str, Any], **data: Any) -> Any:
        answer = await account.http.request("DELETE", messages, params=query, json={"data": data})
        return data_of(answer)

    nobody: dict[str, Any] = {"succeeded": [], "failed": []}
    assert await removed({"filter_caller_id_name": "Nobody"}) == nobody
    assert await removed({"filter_folder": "deleted"}) == nobody
    assert await removed({"filter_from_user": "Bob", "filter_folder": "saved"}) == nobody
    named = await removed({"filter_from_user": "Bob"}, messages=[ann, bob])
    assert named == {"succeeded": [bob], "failed": [{ann: "not_found"}]}
    both = await removed({"filter_caller_id_name": "Ann", "folder": "saved"})
    assert both == {"succeeded": [saved], "failed": [{ann: "not_found"}]}
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    refused = await account.http.delete(messages, params={"filter_folder": "x"})
    assert refused.status_code == 400


async def test_parameters_are_read_from_each_place_in_order_of_precedence(
    account: AccountClient,
) -> None:
    vmbox_id, target = await account.a_vmbox(), await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    ids = [await account.leave(vmbox_id) for _ in range(4)]

    async def send(verb: str, body: Any, query: str = "") -> Any:
        return await account.http.request(verb, messages + query, json=body)

    filed = await send("POST", {"messages": ids[:1], "folder": "deleted"})
    assert data_of(filed)["succeeded"] == ids[:1]
    moved = await send("POST", {"messages": ids[:1], "source_id": target})
    assert len(data_of(moved)["succeeded"]) == 1
    both = {"messages": ids, "data": {"messages": ids[1:2]}}
    assert data_of(await send("DELETE", both))["succeeded"] == ids[1:2]
    saved = await account.leave(vmbox_id, folder="saved")
    assert data_of(await send("DELETE", {"folder": "saved"}))["succeeded"] == [saved]
    # Null says nothing where something else is said, and is no "all" where nothing is.
    null = {"data": {"folder": None}}
    assert data_of(await send("DELETE", null, "?folder=saved"))["succeeded"] == []
    for nothing in ({"messages": None}, {"data": {"messages": None}}, {"messages": ids[2]}):
        assert (await send("DELETE", nothing)).status_code == 400
    assert (await send("DELETE", {}, f"?messages={ids[2]}")).status_code == 400
    assert await account.counts(vmbox_id) == {"new": 2, "saved": 0}
    # As PHP writes an object without keys; any other list is none.
    assert (await send("DELETE", {"data": [ids[2]]})).status_code == 400
    assert sorted(data_of(await send("DELETE", {"data": []}))["succeeded"]) == sorted(ids[2:])
