"""Messages of mailboxes: lists, audio in ranges, removal."""

from datetime import timedelta
from typing import Any

import httpx

from service.api.http.times import format_iso
from tests.contract.mailboxes import bare, dashed, errors, refused, result
from tests.contract.wire import NO_ID, NOW, ago, golden
from tests.support.audio_samples import a_wav, an_mp3
from tests.support.running import AccountClient, data_of


def id_forms(media_id: str) -> list[str]:
    """Returns all accepted forms of a message id."""
    month, _, digits = media_id.partition("-")
    return [media_id, f"{month}{digits}", f"{month}-{dashed(digits)}", media_id.upper()]


async def listed(voip: httpx.AsyncClient, vmbox_id: str, **query: Any) -> list[str]:
    answer = await voip.get(f"/voip/mailbox/{vmbox_id}/messages", params=query)
    return [message["uuid"] for message in result(answer)]


async def test_a_message_contains_its_caller(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(
        vmbox_id,
        timestamp=ago(hours=1),
        caller_id_name="Ann",
        caller_id_number="1001",
        length=4_600,
        folder="saved",
    )
    names = {media_id: "MESSAGE", format_iso(NOW - timedelta(hours=1)): "MOMENT"}
    path = f"/voip/mailbox/{vmbox_id}/messages"
    golden("mailboxes/messages_listed", await voip.get(path), names)
    for id_form in id_forms(media_id):
        golden("mailboxes/message", await voip.get(f"{path}/{id_form}"), names)


async def test_reading_does_not_change_a_message(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, an_mp3())
    path = f"/voip/mailbox/{vmbox_id}/messages/{media_id}"
    for _ in range(2):
        assert result(await voip.get(path))["folder"] == "new"
        assert (await voip.get(f"{path}/audio")).status_code == 200
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_pages_are_consecutive_even_if_messages_are_removed(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id = await account.a_vmbox()
    ids = [await account.leave(vmbox_id, timestamp=ago(minutes=n)) for n in range(7)]
    # Months ago, and two at one moment.
    ids += [await account.leave(vmbox_id, timestamp=ago(days=40)) for _ in range(2)]
    whole = await listed(voip, vmbox_id)
    assert whole[:7] == ids[:7]
    assert set(whole[7:]) == set(ids[7:])
    record: list[str] = []
    while page := await listed(
        voip, vmbox_id, limit=2, **({"before": record[-1]} if record else {})
    ):
        record += page
        last = f"/voip/mailbox/{vmbox_id}/messages/{page[-1]}"
        assert (await voip.delete(last)).status_code == 204
    assert record == whole


async def test_before_must_be_a_message_of_the_mailbox(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id, other = await account.a_vmbox(), await account.a_vmbox()
    foreign = await account.leave(other)
    path = f"/voip/mailbox/{vmbox_id}/messages"
    for before, rule in (
        ("x", "format"),
        (NO_ID, "format"),
        (f"{NOW:%Y%m}-{NO_ID}", "not_found"),
        (f"199901-{NO_ID}", "not_found"),
        (foreign, "not_found"),
    ):
        assert errors(await voip.get(path, params={"before": before})) == {"before": rule}
    unknown = f"/voip/mailbox/{NO_ID}/messages"
    refused(await voip.get(unknown, params={"before": foreign}), 404, "Not Found")


async def test_audio_is_returned_complete_and_in_ranges(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    sound = a_wav()
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, sound, "audio/wav", caller_id_number="1001")
    path = f"/voip/mailbox/{vmbox_id}/messages/{media_id}/audio"
    whole = await voip.get(path)
    assert (whole.status_code, whole.content) == (200, sound)
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["accept-ranges"] == "bytes"
    assert "1001_" in whole.headers["content-disposition"]
    raw = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    assert whole.headers["etag"] == (await account.http.get(raw)).headers["etag"]

    part = await voip.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, sound[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(sound)}"
    tail = await voip.get(path, headers={"Range": "bytes=-5"})
    assert (tail.status_code, tail.content) == (206, sound[-5:])
    beyond = await voip.get(path, headers={"Range": f"bytes={len(sound)}-"})
    refused(beyond, 416, "Range Not Satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{len(sound)}"
    known = await voip.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    head = await voip.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(sound))
    in_query = await httpx.AsyncClient.get(voip, path, params={"auth_token": account.token})
    assert in_query.content == sound


async def test_a_message_without_audio_is_listed_and_its_audio_is_a_404(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    media_id = data_of(await account.http.put(messages, json={"data": {}}), 201)["media_id"]
    assert await listed(voip, vmbox_id) == [media_id]
    path = f"/voip/mailbox/{vmbox_id}/messages/{media_id}/audio"
    refused(await voip.get(path), 404, "Not Found")


async def test_a_message_past_retention_is_deleted_and_can_be_removed(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, timestamp=ago(days=200))
    assert await listed(voip, vmbox_id) == []
    path = f"/voip/mailbox/{vmbox_id}/messages/{media_id}"
    assert result(await voip.get(path))["folder"] == "deleted"
    assert (await voip.delete(path)).status_code == 204


async def test_a_removed_message_is_a_404_in_both_dialects(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id = await account.a_vmbox()
    kept, removed = [await account.leave(vmbox_id, an_mp3()) for _ in range(2)]
    path = f"/voip/mailbox/{vmbox_id}/messages/{removed}"
    answer = await voip.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await listed(voip, vmbox_id) == [kept]
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [kept]
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    for gone in (voip.get(path), voip.get(f"{path}/audio"), voip.delete(path)):
        refused(await gone, 404, "Not Found")


async def test_a_message_is_available_in_its_own_mailbox_only(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    vmbox_id, other = await account.a_vmbox(), await account.a_vmbox()
    media_id = await account.leave(vmbox_id, an_mp3())
    for box in (other, NO_ID, "x"):
        path = f"/voip/mailbox/{box}/messages/{media_id}"
        for answer in (voip.get(path), voip.get(f"{path}/audio"), voip.delete(path)):
            refused(await answer, 404, "Not Found")
    refused(await voip.get(f"/voip/mailbox/{NO_ID}/messages"), 404, "Not Found")
    assert await listed(voip, bare(vmbox_id)) == [media_id]
