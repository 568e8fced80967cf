"""Forwarding of messages over HTTP, with and without a comment."""

import io
import wave
from itertools import pairwise
from typing import Any

import httpx

from tests.contract.test_greetings import a_greeting
from tests.contract.wire import NO_ID, problems, refusal
from tests.support.audio_samples import MEDIARECORDER_WEBM, a_mu_law_wav, a_wav
from tests.support.running import AccountClient, data_of, multipart
from tests.support.waiting import wait_until

COMMENTED = {"vm_message_forward_type": "prepend_forward"}


async def forward(
    account: AccountClient,
    source: tuple[str, str],
    comment: bytes | None = None,
    key: str | None = None,
    **data: Any,
) -> httpx.Response:
    """The response to the forwarding of a message (its box and its id)."""
    path = account.path("vmboxes", source[0], "messages", source[1], "forward")
    body: dict[str, Any] = {"json": {"data": data}}
    if comment is not None:
        body = multipart(comment, "audio/wav", data)
    headers = {} if key is None else {"Idempotency-Key": key}
    return await account.http.post(path, headers=headers, **body)


async def message(account: AccountClient, vmbox_id: str, media_id: str) -> dict[str, Any]:
    found: dict[str, Any] = data_of(
        await account.http.get(account.path("vmboxes", vmbox_id, "messages", media_id))
    )
    return found


async def audio_of(account: AccountClient, vmbox_id: str, media_id: str) -> httpx.Response:
    return await account.http.get(account.path("vmboxes", vmbox_id, "messages", media_id, "raw"))


async def test_a_message_is_forwarded_without_a_comment(account: AccountClient) -> None:
    source, first, second = [await account.a_vmbox() for _ in range(3)]
    media_id = await account.leave(source, a_wav(), caller_id_name="Ann", call_id="c-1")
    result = data_of(await forward(account, (source, media_id), source_id=[first, second]))
    assert result["failed"] == []
    for vmbox_id, new_id in zip((first, second), result["succeeded"], strict=True):
        copy = await message(account, vmbox_id, new_id)
        assert (copy["caller_id_name"], copy["call_id"]) == ("Ann", "c-1")
        assert (copy["folder"], copy["length"]) == ("new", 1000)
        (step,) = copy["forwarded"]
        assert (step["vmbox_id"], step["media_id"]) == (source, media_id)
        assert (step["principal"], step["principal_id"]) == ("api_key", account.account_id)
        assert (await audio_of(account, vmbox_id, new_id)).content == a_wav()
        assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    original = await message(account, source, media_id)
    assert (original["folder"], "forwarded" in original) == ("saved", False)

    origins: list[dict[str, Any]] = []

    async def is_published() -> bool:
        path = account.path("vmboxes", first, "events")
        events = data_of(await account.http.get(path, params={"since": "0.0"}))
        news = [event for event in events if event["type"] == "voicemail.message.new"]
        origins.extend(event["data"]["origin"] for event in news)
        return bool(origins)

    await wait_until(is_published)
    assert origins[0] == {"reason": "forwarded", "vmbox_id": source, "media_id": media_id}


async def test_a_comment_precedes_the_message_in_the_format_of_each_box(
    account: AccountClient,
) -> None:
    source = await account.a_vmbox(**COMMENTED)
    targets = {name: await account.a_vmbox(media_extension=name) for name in ("wav", "mp3", "mp4")}
    media_id = await account.leave(source, MEDIARECORDER_WEBM.read_bytes(), "audio/webm")
    answer = await forward(
        account, (source, media_id), a_mu_law_wav(0.5), source_id=[*targets.values()]
    )
    result = data_of(answer)
    assert result["failed"] == []
    types = {"wav": "audio/wav", "mp3": "audio/mpeg", "mp4": "audio/mp4"}
    for (name, vmbox_id), new_id in zip(targets.items(), result["succeeded"], strict=True):
        new = await message(account, vmbox_id, new_id)
        assert 1400 <= new["length"] <= 1600
        raw = await audio_of(account, vmbox_id, new_id)
        assert raw.headers["content-type"] == types[name]
        if name == "wav":
            with wave.open(io.BytesIO(raw.content)) as recording:
                assert recording.getframerate() == 8000
                assert round(recording.getnframes() / 8) == new["length"]


async def test_the_comment_can_be_a_greeting(account: AccountClient) -> None:
    source, target = await account.a_vmbox(**COMMENTED), await account.a_vmbox()
    media_id = await account.leave(source, a_wav(), "audio/wav")
    greeting = await a_greeting(account, a_wav(2.0))
    place = (source, media_id)
    result = data_of(await forward(account, place, source_id=[target], prepend=greeting))
    assert 2950 <= (await message(account, target, result["succeeded"][0]))["length"] <= 3050
    for wrong in (NO_ID, "x" * 32, await a_greeting(account)):
        answer = await forward(account, place, source_id=[target], prepend=wrong)
        assert list(problems(answer)) == ["prepend"]
    both = await forward(account, place, a_wav(), source_id=[target], prepend=greeting)
    assert "not_allowed" in problems(both)["prepend"]
    assert len(await account.listed(target)) == 1


async def test_a_box_that_only_forwards_takes_no_comment(account: AccountClient) -> None:
    source, target = await account.a_vmbox(), await account.a_vmbox()
    media_id = await account.leave(source, a_wav())
    answer = await forward(account, (source, media_id), a_wav(), source_id=[target])
    assert "vm_message_forward_type" in problems(answer)["prepend"]["not_allowed"]["message"]
    assert (await message(account, source, media_id))["folder"] == "new"
    assert await account.listed(target) == []


async def test_each_box_fails_on_its_own(account: AccountClient) -> None:
    source, open_box = await account.a_vmbox(), await account.a_vmbox()
    full = await account.a_vmbox(max_message_count=1)
    await account.leave(full)
    gone = await account.a_vmbox()
    data_of(await account.http.delete(account.path("vmboxes", gone)))
    foreign = await account.service.an_account()
    theirs = await foreign.a_vmbox()
    media_id = await account.leave(source, a_wav())
    targets = [full, gone, theirs, NO_ID, "no id", open_box]
    result = data_of(await forward(account, (source, media_id), source_id=targets))
    assert len(result["succeeded"]) == 1
    assert result["failed"] == [
        {full: "mailbox_full"},
        *({each: "not_found"} for each in (gone, theirs, NO_ID, "no id")),
    ]
    assert len(await account.listed(open_box)) == 1
    assert await foreign.listed(theirs) == []
    await foreign.http.aclose()


async def test_the_original_stays_moves_or_is_deleted(account: AccountClient) -> None:
    source, target = await account.a_vmbox(), await account.a_vmbox()
    asking = await account.a_vmbox(after_forward_action="prompt")
    for vmbox_id, action, folder in (
        (source, None, "saved"),
        (source, "keep", "new"),
        (source, "delete", "deleted"),
        (asking, None, "new"),
        (asking, "save", "saved"),
    ):
        media_id = await account.leave(vmbox_id, a_wav())
        data: dict[str, Any] = {} if action is None else {"after_forward_action": action}
        data_of(await forward(account, (vmbox_id, media_id), source_id=[target], **data))
        assert (await message(account, vmbox_id, media_id))["folder"] == folder
    media_id = await account.leave(source, a_wav())
    data_of(await forward(account, (source, media_id), source_id=[NO_ID]))
    assert (await message(account, source, media_id))["folder"] == "new"


async def test_a_forwarded_message_keeps_its_caller_and_its_steps(account: AccountClient) -> None:
    boxes = [await account.a_vmbox(**COMMENTED) for _ in range(3)]
    media_id = await account.leave(boxes[0], a_wav(), "audio/wav", caller_id_number="100")
    ids = [media_id]
    for vmbox_id, target in pairwise(boxes):
        answer = await forward(account, (vmbox_id, ids[-1]), a_wav(), source_id=[target])
        ids += data_of(answer)["succeeded"]
    last = await message(account, boxes[2], ids[2])
    assert last["caller_id_number"] == "100"
    assert [step["media_id"] for step in last["forwarded"]] == ids[:2]
    assert 2900 <= last["length"] <= 3100
    copied = data_of(
        await account.http.post(
            account.path("vmboxes", boxes[2], "messages", ids[2]),
            json={"data": {"source_id": [boxes[0]]}},
        )
    )
    copy = await message(account, boxes[0], copied["succeeded"][0])
    assert copy["forwarded"] == last["forwarded"]


async def test_a_repeated_request_with_a_key_forwards_once(account: AccountClient) -> None:
    source, target = await account.a_vmbox(**COMMENTED), await account.a_vmbox()
    place = (source, await account.leave(source, a_wav()))
    data = {"source_id": [target, NO_ID], "after_forward_action": "delete"}
    first = data_of(await forward(account, place, a_wav(), key="k", **data))
    assert data_of(await forward(account, place, a_wav(), key="k", **data)) == first
    assert len(await account.listed(target)) == 1
    other = await forward(account, place, a_wav(2.0), key="k", **data)
    refusal(other, 422, "idempotency_key_reused")


async def test_what_cannot_be_forwarded_is_refused(account: AccountClient) -> None:
    source, target = await account.a_vmbox(**COMMENTED), await account.a_vmbox()
    media_id = await account.leave(source)
    place = (source, media_id)
    unreadable = await forward(account, place, a_wav(), source_id=[target])
    refusal(unreadable, 422, "audio_unreadable")
    for data, field in (
        ({}, "source_id"),
        ({"source_id": []}, "source_id"),
        ({"source_id": target}, "source_id"),
        ({"source_id": [target], "after_forward_action": "burn"}, "after_forward_action"),
    ):
        assert list(problems(await forward(account, place, **data))) == [field]
    unknown = await forward(account, (source, f"202601-{NO_ID}"), source_id=[target])
    refusal(unknown, 404, "bad_identifier")
    pending = await account.http.put(
        account.path("vmboxes", source, "messages"), json={"data": {"caller_id_name": "Ann"}}
    )
    silent = (source, data_of(pending, 201)["media_id"])
    refusal(await forward(account, silent, source_id=[target]), 409, "no_audio")
    assert await account.listed(target) == []
