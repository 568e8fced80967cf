"""The greeting of a box that callers hear now, over HTTP."""

from typing import Any

from tests.contract.test_greetings import SOUND, a_greeting
from tests.contract.wire import NO_ID, problems, refusal, stored_greetings
from tests.support.audio_samples import a_wav
from tests.support.running import AccountClient, data_of


async def plays(account: AccountClient, vmbox_id: str, **query: str) -> tuple[str, str]:
    path = account.path("vmboxes", vmbox_id, "greeting")
    playing = data_of(await account.http.get(path, params=query))
    assert playing["content_length"] == len(SOUND)
    return playing["role"], playing["id"]


async def change(account: AccountClient, vmbox_id: str, **media: Any) -> dict[str, Any]:
    path = account.path("vmboxes", vmbox_id)
    document: dict[str, Any] = data_of(
        await account.http.patch(path, json={"data": {"media": media}})
    )
    return document


async def test_a_box_plays_the_greeting_for_the_occasion(account: AccountClient) -> None:
    away, holiday, busy = [await a_greeting(account, SOUND, name=name) for name in "abc"]
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "greeting")
    missing = refusal(await account.http.get(path), 404, "bad_identifier")
    assert "no greeting that plays now" in missing["cause"]
    document = await change(account, vmbox_id, unavailable=await a_greeting(account), name=away)
    assert document["is_setup"] is True
    refusal(await account.http.get(f"{path}/raw"), 404, "bad_identifier")
    await change(account, vmbox_id, unavailable=away)
    assert await plays(account, vmbox_id, busy="true") == ("unavailable", away)
    await change(account, vmbox_id, busy=busy)
    assert await plays(account, vmbox_id, busy="true") == ("busy", busy)
    assert await plays(account, vmbox_id) == ("unavailable", away)
    times = {"temporary_unavailable_start": "2999-01-01T00:00:00+01:00"}
    await change(account, vmbox_id, temporary_unavailable=holiday, **times)
    playing = data_of(await account.http.get(path))
    assert (playing["role"], playing["changes_at"]) == ("unavailable", "2998-12-31T23:00:00Z")
    await change(account, vmbox_id, temporary_unavailable_start=None)
    assert await plays(account, vmbox_id, busy="true") == ("temporary_unavailable", holiday)
    audio = await account.http.get(f"{path}/raw", headers={"Range": "bytes=2-3"})
    assert (audio.status_code, audio.content) == (206, SOUND[2:4])
    assert audio.headers["content-disposition"] == 'attachment; filename="b.mp3"'
    await account.http.patch(
        account.path("vmboxes", vmbox_id), json={"data": {"skip_greeting": True}}
    )
    refusal(await account.http.get(path), 404, "bad_identifier")


async def test_a_greeting_for_a_busy_line_exists_and_stays_while_it_is_used(
    account: AccountClient,
) -> None:
    busy = await a_greeting(account, SOUND)
    for role in ("busy", "name"):
        vmbox_id = await account.a_vmbox(media={role: busy})
        refusal(await account.http.delete(account.path("media", busy)), 409, "media_in_use")
        path = account.path("vmboxes", vmbox_id)
        unknown = await account.http.patch(path, json={"data": {"media": {role: NO_ID}}})
        assert list(problems(unknown)) == [f"media.{role}"]
        data_of(await account.http.delete(path))
    data_of(await account.http.delete(account.path("media", busy)))


async def test_wrong_times_and_flags_are_refused(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id)
    start, end = "media.temporary_unavailable_start", "media.temporary_unavailable_end"
    for media, broken in (
        ({"temporary_unavailable_start": "tomorrow"}, {start: {"wrong_format"}}),
        ({"temporary_unavailable_end": 63_900_000_000}, {end: {"type"}}),
        (
            {
                "temporary_unavailable_start": "2026-12-24T12:00:00Z",
                "temporary_unavailable_end": "2026-12-24T12:00:00Z",
            },
            {end: {"date_range"}},
        ),
    ):
        answer = await account.http.patch(path, json={"data": {"media": media}})
        assert {name: set(rules) for name, rules in problems(answer).items()} == broken
    answer = await account.http.get(f"{path}/greeting", params={"busy": "maybe"})
    assert list(problems(answer)) == ["busy"]


async def test_a_greeting_is_returned_in_another_format(account: AccountClient) -> None:
    media_id = await a_greeting(account, a_wav(), name="Away")
    vmbox_id = await account.a_vmbox(media={"unavailable": media_id})
    raw = account.path("media", media_id, "raw")
    mp3 = await account.http.get(raw, params={"format": "mp3"})
    assert mp3.headers["content-type"] == "audio/mpeg"
    assert mp3.headers["content-disposition"] == 'attachment; filename="Away.mp3"'
    playing = account.path("vmboxes", vmbox_id, "greeting", "raw")
    named = await account.http.get(playing, headers={"Accept": "audio/mpeg"})
    assert (named.content, named.headers["etag"]) == (mp3.content, mp3.headers["etag"])
    assert (await account.http.get(playing)).content == a_wav()
    assert len(await stored_greetings(account)) == 2
    flac = await account.http.get(raw, headers={"Accept": "audio/flac"})
    assert refusal(flac, 406, "not_acceptable")["available"]
    wav = {"Content-Type": "audio/wav"}
    data_of(await account.http.put(raw, content=a_wav(2.0), headers=wav), 201)
    assert len(await stored_greetings(account)) == 1
    longer = await account.http.get(raw, params={"format": "mp3"})
    assert len(longer.content) > len(mp3.content)
