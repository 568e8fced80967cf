"""Storage of a message: the forms of an upload, the defaults, and the audio that is returned."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.wire import NOW, ago, audio_part, json_part, mixed, stored_objects
from tests.support.audio_samples import (
    MEDIARECORDER_WEBM,
    PCM,
    a_mu_law_wav,
    a_wav,
    adts_frames,
    an_mp3,
    an_mp4,
    an_opus,
    mp3_frames,
    riff,
)
from tests.support.running import AccountClient, data_of

# Everything that a careless layer would translate, cut at or take for a boundary.
NASTY = bytes(range(256)) + b"\r\n--frontier\n--frontierX\r\n\r\n\0\xff\r--\r\n--frontie\r\n"


async def put(account: AccountClient, vmbox_id: str, *path: str, **request: Any) -> Any:
    """The metadata of what was stored."""
    route = account.path("vmboxes", vmbox_id, "messages", *path)
    return data_of(await account.http.put(route, **request), 201)


async def heard(account: AccountClient, vmbox_id: str, media_id: str) -> httpx.Response:
    """The audio, which must be whole and under its own ETag."""
    path = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    answer = await account.http.get(path)
    assert answer.status_code == 200
    digest = hashlib.sha256(answer.content).hexdigest()
    assert answer.headers["etag"] == f'"{digest}"'
    assert answer.headers["content-length"] == str(len(answer.content))
    return answer


@pytest.mark.parametrize("json_first", [True, False])
@pytest.mark.parametrize("audio", [b"\0", NASTY, NASTY * 5000], ids=["1", "339", "1.7 MB"])
async def test_parts_without_names_come_in_either_order(
    account: AccountClient, json_first: bool, audio: bytes
) -> None:
    vmbox_id = await account.a_vmbox()
    parts = [json_part(caller_id_number="1001", length=2500), audio_part(audio)]
    body = mixed(*(parts if json_first else reversed(parts)), boundary="frontier-2")
    message = await put(account, vmbox_id, **body)
    assert (message["caller_id_number"], message["length"]) == ("1001", 2500)
    raw = await heard(account, vmbox_id, message["media_id"])
    assert raw.content == audio
    assert raw.headers["content-type"] == "audio/mp3"
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_parts_with_names_come_as_form_data_too(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, NASTY, "audio/wav", folder="saved")
    assert (await heard(account, vmbox_id, media_id)).content == NASTY
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 1}


async def test_audio_that_is_the_whole_body_makes_a_message_of_defaults(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox(mailbox="3000")
    message = await put(account, vmbox_id, content=an_mp3(), headers={"Content-Type": "audio/mpeg"})
    assert ago() <= message["timestamp"] <= ago(hours=-1)
    assert re.fullmatch(r"[0-9a-f]{24}", message.pop("call_id"))
    media_id = message.pop("media_id")
    assert re.fullmatch(r"\d{6}-[0-9a-f]{32}", media_id)
    assert 950 <= message.pop("length") <= 1100
    del message["timestamp"]
    assert message == {
        "folder": "new",
        "caller_id_number": "anonymous",
        "caller_id_name": "anonymous",
        "from": f"anonymous@{account.realm}",
        "from_user": "anonymous",
        "from_realm": account.realm,
        "to": f"3000@{account.realm}",
        "to_user": "3000",
        "to_realm": account.realm,
    }
    assert (await heard(account, vmbox_id, media_id)).content == an_mp3()


async def test_addresses_get_the_realm_unless_they_have_one(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(mailbox="3000")
    message = await put(
        account, vmbox_id, json={"data": {"caller_id_number": "1001", "to": "ann@b@c"}}
    )
    assert message["from"] == f"1001@{account.realm}"
    assert (message["to"], message["to_user"], message["to_realm"]) == ("ann@b@c", "ann", "b@c")
    assert message["caller_id_name"] == "anonymous"


async def test_the_length_is_measured_when_it_is_not_given(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    for audio, content_type, length in (
        (a_wav(seconds=3), "audio/x-wav", 3000),
        (a_mu_law_wav(seconds=2), "audio/wav", 2000),
        (b"\0no sound at all", "audio/ogg", 1),
        (riff(PCM, 16, 8000, bytes(16_000), claimed=0), "audio/wav", 1000),
        (riff(PCM, 16, 8000, bytes(16_000), byte_rate=8000), "audio/wav", 1000),
        (adts_frames(100), "audio/aac", 6400),
        (mp3_frames(1000, info_frames=10), "audio/mpeg", 24_000),
        (an_mp4(60, fragments=6), "audio/mp4", 60_000),
        (MEDIARECORDER_WEBM.read_bytes(), "audio/webm;codecs=opus", 1008),
    ):
        sent = {"content": audio, "headers": {"Content-Type": content_type}}
        assert (await put(account, vmbox_id, **sent))["length"] == length
    assert (await put(account, vmbox_id, **mixed(json_part(length=7), audio_part(a_wav()))))[
        "length"
    ] == 7


async def test_the_month_of_an_id_is_the_month_of_its_timestamp(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    old = await account.leave(vmbox_id, timestamp=63_630_058_722)
    assert old.startswith("201605-")
    assert (await account.leave(vmbox_id)).startswith(f"{NOW:%Y%m}-")
    raw = await heard(account, vmbox_id, old)
    assert raw.content == b"audio"


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        ("application/octet-stream", "bin"),
        ("audio/x-wav", "wav"),
        ("audio/wav", "wav"),
        ("audio/mpeg", "mp3"),
        ("AUDIO/MP3; rate=8000", "mp3"),
        ("audio/ogg", "ogg"),
        ("audio/mp4", "mp4"),
    ],
)
async def test_each_type_of_audio_is_accepted_in_both_forms(
    account: AccountClient, content_type: str, extension: str
) -> None:
    vmbox_id = await account.a_vmbox()
    bare = {"content": NASTY, "headers": {"Content-Type": content_type}}
    for upload in (bare, mixed(audio_part(NASTY, content_type))):
        message = await put(account, vmbox_id, **upload)
        raw = await heard(account, vmbox_id, message["media_id"])
        assert raw.content == NASTY
        assert raw.headers["content-type"] == content_type.partition(";")[0].lower()
        assert raw.headers["content-disposition"].endswith(f'.{extension}"')


@pytest.mark.parametrize(
    ("audio", "content_type", "extension"),
    [
        (a_wav(), "audio/wav", "wav"),
        (an_mp3(), "audio/mpeg", "mp3"),
        (an_mp4(1, brand=b"M4A "), "audio/mp4", "m4a"),
        (an_opus(1), "audio/ogg", "ogg"),
        (MEDIARECORDER_WEBM.read_bytes(), "audio/webm", "webm"),
    ],
)
async def test_the_bytes_determine_a_type_that_the_sender_does_not_know(
    account: AccountClient, audio: bytes, content_type: str, extension: str
) -> None:
    vmbox_id = await account.a_vmbox()
    for declared in ("application/octet-stream", "video/mp4"):
        bare = {"content": audio, "headers": {"Content-Type": declared}}
        for upload in (bare, mixed(audio_part(audio, declared)), mixed(([], audio))):
            message = await put(account, vmbox_id, **upload)
            raw = await heard(account, vmbox_id, message["media_id"])
            assert (raw.content, raw.headers["content-type"]) == (audio, content_type)
            assert raw.headers["content-disposition"].endswith(f'.{extension}"')


async def test_a_file_without_a_type_is_treated_as_bytes(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    message = await put(account, vmbox_id, **mixed(([], NASTY), json_part(folder="saved")))
    assert message["folder"] == "saved"
    raw = await heard(account, vmbox_id, message["media_id"])
    assert (raw.content, raw.headers["content-type"]) == (NASTY, "application/octet-stream")


UNTYPED_METADATA = (
    ['Content-Disposition: form-data; name="content"'],
    b'\xef\xbb\xbf\r\n {"data": {"caller_id_number": "7001"}}',
)
PLAIN = ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
NAMED_FILE = (
    ['Content-Disposition: form-data; name="file"; filename="m.wav"', "Content-Type: audio/x-wav"],
    a_wav(),
)
UNNAMED_FILE: tuple[list[str], bytes] = ([], a_wav())
EMPTY_FIELD = (['Content-Disposition: form-data; name="submit"'], b"")
NO_FILE_CHOSEN = (
    [
        'Content-Disposition: form-data; name="other"; filename=""',
        "Content-Type: application/octet-stream",
    ],
    b"",
)
BLOB = (
    [
        'Content-Disposition: form-data; name="content"; filename="blob"',
        "Content-Type: application/octet-stream",
    ],
    UNTYPED_METADATA[1],
)


async def test_a_form_of_php_or_a_browser_is_accepted_as_it_was_sent(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    body = (Path(__file__).parent / "untyped_json_part.multipart").read_bytes()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    message = await put(account, vmbox_id, content=body, headers=headers)
    assert message["caller_id_number"] == "7001"
    audio = (await heard(account, vmbox_id, message["media_id"])).content
    assert audio == body[body.index(b"RIFF") : body.rindex(b"\r\n--x--")]


@pytest.mark.parametrize(
    "parts",
    [
        [UNTYPED_METADATA, NAMED_FILE],
        [NAMED_FILE, UNTYPED_METADATA],
        [NAMED_FILE, ([*UNTYPED_METADATA[0], *PLAIN], UNTYPED_METADATA[1])],
        [BLOB, NAMED_FILE],
        [UNTYPED_METADATA, UNNAMED_FILE],
        [EMPTY_FIELD, UNTYPED_METADATA, NO_FILE_CHOSEN, NAMED_FILE, EMPTY_FIELD],
        [UNTYPED_METADATA, NO_FILE_CHOSEN, UNNAMED_FILE],
    ],
)
async def test_a_part_of_unknown_type_is_recognised(
    account: AccountClient, parts: list[tuple[list[str], bytes]]
) -> None:
    vmbox_id = await account.a_vmbox()
    answer = await account.http.put(account.path("vmboxes", vmbox_id, "messages"), **mixed(*parts))
    message = data_of(answer, 201)
    assert message["caller_id_number"] == "7001"
    assert (await heard(account, vmbox_id, message["media_id"])).content == a_wav()
    assert "warnings" not in answer.json()


@pytest.mark.parametrize(
    ("text", "is_first"),
    [
        (b"Upload", True),
        (b"Jos\xe9", True),
        ("José".encode(), False),
        (b"[1]", True),
        (b"\0", False),
    ],
)
async def test_a_text_field_is_never_a_second_file(
    account: AccountClient, text: bytes, is_first: bool
) -> None:
    field = (['Content-Disposition: form-data; name="submit"'], text)
    parts = [field, NAMED_FILE] if is_first else [NAMED_FILE, field]
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "messages")
    answer = await account.http.put(path, **mixed(*parts, json_part(folder="saved")))
    message = data_of(answer, 201)
    assert message["folder"] == "saved"
    assert (await heard(account, vmbox_id, message["media_id"])).content == a_wav()
    (warning,) = answer.json()["warnings"]
    assert (warning["field"], warning["rule"]) == ("submit", "unknown")


async def test_a_base64_part_is_decoded(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    text = base64.encodebytes(NASTY)
    uri = b"data:audio/wav;base64," + base64.b64encode(NASTY)
    for content, content_type in ((text, "audio/mp3"), (uri, "audio/wav")):
        headers = ["Content-Type: audio/mp3", "Content-Transfer-Encoding: base64"]
        message = await put(account, vmbox_id, **mixed((headers, content)))
        raw = await heard(account, vmbox_id, message["media_id"])
        assert (raw.content, raw.headers["content-type"]) == (NASTY, content_type)


async def test_audio_may_follow_the_metadata_in_every_form(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    forms: list[dict[str, Any]] = [
        {"content": NASTY, "headers": {"Content-Type": "audio/mp3"}},
        mixed(audio_part(NASTY)),
        {"files": [("content", ("voice", NASTY, "audio/mp3"))]},
    ]
    for form in forms:
        pending = await put(account, vmbox_id, json={"data": {"caller_id_name": "Ann"}})
        media_id = pending["media_id"]
        route = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
        completed = await account.http.put(route, **form)
        assert data_of(completed, 201) == pending["metadata"]
        assert completed.headers["location"] == f"/v2/{route}"
        assert (await heard(account, vmbox_id, media_id)).content == NASTY
    assert await account.counts(vmbox_id) == {"new": 3, "saved": 0}


async def test_new_audio_replaces_the_audio_of_a_message(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, an_mp3(), length=1234, caller_id_name="Ann")
    before = await heard(account, vmbox_id, media_id)
    (old_object,) = await stored_objects(account)
    upload = {"content": a_wav(), "headers": {"Content-Type": "audio/wav"}}
    replaced = await put(account, vmbox_id, media_id, "raw", **upload)
    # A length that the client has sent stays.
    assert (replaced["length"], replaced["caller_id_name"]) == (1234, "Ann")
    after = await heard(account, vmbox_id, media_id)
    assert (after.content, after.headers["content-type"]) == (a_wav(), "audio/wav")
    assert after.headers["etag"] != before.headers["etag"]
    (new_object,) = await stored_objects(account)
    assert new_object != old_object
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_a_measured_length_is_replaced_with_the_audio(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, a_wav(1), "audio/wav")
    for audio, length in (
        (an_opus(3), 3000),
        (b"\0unknown", 1),
        (a_wav(2), 2000),
        (a_mu_law_wav(4), 4000),
    ):
        upload = {"content": audio, "headers": {"Content-Type": "application/octet-stream"}}
        replaced = await put(account, vmbox_id, media_id, "raw", **upload)
        assert replaced["length"] == length
        (row,) = await account.listed(vmbox_id)
        assert row["length"] == length


async def test_the_largest_audio_is_accepted(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    audio = NASTY * (8_000_000 // len(NASTY)) + b"x" * (8_000_000 % len(NASTY))
    assert len(audio) == 8_000_000
    message = await put(account, vmbox_id, **mixed(audio_part(audio), boundary="edge"))
    assert (await heard(account, vmbox_id, message["media_id"])).content == audio


async def test_json_is_accepted_under_every_type_that_clients_send(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    types: list[dict[str, str]] = [
        {},
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": "application/x-json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ]
    for headers in types:
        body = b'{"data": {"caller_id_name": "Zo\xc3\xab"}}'
        message = await put(account, vmbox_id, content=body, headers=headers)
        assert message["caller_id_name"] == "Zoë"
        assert message["id"] == message["metadata"]["media_id"] == message["media_id"]
    nothing = await put(account, vmbox_id)
    assert nothing["caller_id_name"] == "anonymous"
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 0}
    assert len(await account.listed(vmbox_id)) == 5
