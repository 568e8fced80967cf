"""Uploads that are empty, too large, cut short or malformed: refused, and no object is left."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.wire import (
    NO_ID,
    NOW,
    assert_nothing_stored,
    audio_part,
    exchange,
    json_part,
    mixed,
    no_fault_logged,
    problems,
    refusal,
    stored_objects,
)
from tests.support.audio_samples import a_wav, an_mp4
from tests.support.running import AccountClient, RunningService, data_of

LIMIT = 8_000_000
MP3 = {"Content-Type": "audio/mp3"}
JSON_TYPE = {"Content-Type": "application/json"}
MIXED = {"Content-Type": "multipart/mixed; boundary=frontier"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def victim(service: RunningService) -> AsyncIterator[tuple[AccountClient, str]]:
    """Account with an empty box, which must have no message and no object after the test."""
    async with no_fault_logged(service):
        account = await service.an_account()
        vmbox_id = await account.a_vmbox()
        yield account, vmbox_id
        await assert_nothing_stored(account, vmbox_id)
        await account.http.aclose()


async def put(victim: tuple[AccountClient, str], **request: Any) -> Any:
    account, vmbox_id = victim
    return await account.http.put(account.path("vmboxes", vmbox_id, "messages"), **request)


def head(victim: tuple[AccountClient, str], *headers: str) -> list[str]:
    account, vmbox_id = victim
    path = account.path("vmboxes", vmbox_id, "messages")
    return [f"PUT /v2/{path} HTTP/1.1", f"X-Auth-Token: {account.token}", *headers]


@pytest.mark.parametrize(
    "form",
    [
        {"content": b"", "headers": MP3},
        {"content": a_wav()[:44], "headers": {"Content-Type": "audio/wav"}},
        {"content": a_wav()[:44], "headers": {"Content-Type": "application/octet-stream"}},
        mixed(json_part(length=4000), audio_part(a_wav()[:44])),
        mixed(audio_part(b"")),
        mixed(json_part(folder="new"), audio_part(b"")),
        {"files": [("content", ("voice.mp3", b"", "audio/mp3"))]},
        mixed((["Content-Type: audio/mp3", "Content-Transfer-Encoding: base64"], b"")),
        mixed((["Content-Type: audio/mp3", "Content-Transfer-Encoding: base64"], b"data:;base64,")),
    ],
)
async def test_empty_audio_is_refused(
    victim: tuple[AccountClient, str], form: dict[str, Any]
) -> None:
    required = {"file": {"required": {"message": "Please provide a media file"}}}
    assert problems(await put(victim, **form)) == required


async def pieces(size: int) -> AsyncIterator[bytes]:
    """Yields a body without a declared size."""
    for start in range(0, size, 500_000):
        yield b"x" * min(500_000, size - start)


@pytest.mark.parametrize("size", [LIMIT + 1, 12_000_000])
@pytest.mark.parametrize("form", ["length", "chunked", "multipart"])
async def test_audio_beyond_the_limit_is_a_413(
    victim: tuple[AccountClient, str], size: int, form: str
) -> None:
    match form:
        case "length":
            answer = await put(victim, content=b"x" * size, headers=MP3)
        case "chunked":
            answer = await put(victim, content=pieces(size), headers=MP3)
        case _:
            answer = await put(victim, **mixed(json_part(), audio_part(b"x" * size)))
    assert problems(answer, 413) == {
        "file": {
            "maxSize": {
                "message": f"Payload or Files must not be more than {LIMIT} bytes",
                "target": LIMIT,
            }
        }
    }


async def test_a_client_that_expects_100_continue_sends_no_body_that_is_too_large(
    victim: tuple[AccountClient, str],
) -> None:
    headers = ["Content-Type: audio/mp3", "Content-Length: 9000000", "Expect: 100-continue"]
    answer = await exchange(victim[0].service, head(victim, *headers))
    assert problems(answer, 413)["file"]["maxSize"]["target"] == LIMIT


async def test_too_large_other_audio_leaves_a_message_as_it_was(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, b"good")
    path = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    before = await stored_objects(account)
    for content, status in ((b"x" * (LIMIT + 1), 413), (b"", 400)):
        answer = await account.http.put(path, content=content, headers=MP3)
        assert "file" in problems(answer, status)
    assert (await account.http.get(path)).content == b"good"
    assert await stored_objects(account) == before


JSON = b"--frontier\r\nContent-Type: application/json\r\n\r\n{}\r\n"
AUDIO = b"--frontier\r\nContent-Type: audio/mp3\r\n\r\nx\r\n"
END = b"--frontier--\r\n"
FIELD = b'--frontier\r\nContent-Disposition: form-data; name="content"\r\n\r\n'
EMPTY_FILE = (
    b'--frontier\r\nContent-Disposition: form-data; name="file"; filename=""\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n\r\n"
)


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        (b"", "json", "invalid"),
        (b"no parts at all", "json", "invalid"),
        (b"--frontier", "json", "invalid"),
        (AUDIO, "json", "invalid"),
        (JSON + AUDIO[:-10], "json", "invalid"),
        (AUDIO + b"--frontie", "json", "invalid"),
        (b"--frontier\r\nContent-Type audio/mp3\r\n\r\nx\r\n" + END, "json", "invalid"),
        (b"--frontier\r\nContent-Type: audio/mp3\r\rX: 1\r\n\r\nx\r\n" + END, "json", "invalid"),
        (JSON + JSON + END, "json", "invalid"),
        (JSON * 9 + END, "json", "invalid"),
        (b"--frontier\r\n\r\nx\r\n" * 9 + END, "json", "invalid"),
        (b"--frontier\r\n\r\nx\r\n" + END, "json", "invalid"),
        (EMPTY_FILE + END, "json", "invalid"),
        (FIELD + b'{"data": {' + b"\r\n" + AUDIO + END, "json", "invalid"),
        (AUDIO + AUDIO + END, "file", "maxItems"),
        (b"--frontier\r\nX: " + b"x" * 9000 + b"\r\n\r\nx\r\n" + END, "json", "invalid"),
        (b"--frontier\r\n" + b"X: 1\r\n" * 17 + b"\r\nx\r\n" + END, "json", "invalid"),
        (b"--frontier\r\n" + b"X" * 9000 + b": 1\r\n\r\nx\r\n" + END, "json", "invalid"),
        (b"x" * 9000 + b"\r\n" + AUDIO + END, "json", "invalid"),
        (AUDIO + END + b"x" * 50_000, "json", "invalid"),
        (
            b"--frontier\r\nContent-Transfer-Encoding: base64\r\n\r\nx!!\r\n" + END,
            "file",
            "encoding",
        ),
        (b"--frontier\r\nContent-Transfer-Encoding: zip\r\n\r\nx\r\n" + END, "json", "invalid"),
        (AUDIO + JSON.replace(b"{}", b"{") + END, "json", "invalid"),
    ],
)
async def test_a_multipart_body_that_cannot_be_read_is_refused(
    victim: tuple[AccountClient, str], body: bytes, field: str, rule: str
) -> None:
    answer = await put(victim, content=body, headers=MIXED)
    details = problems(answer)
    assert list(details) == [field]
    assert list(details[field]) == [rule]


@pytest.mark.parametrize(
    "boundary",
    [
        "",
        "; boundary=",
        "; boundary=" + "x" * 71,
        "; boundary=a\tb",
        "; boundary=\xff",
        "; charset=x",
    ],
)
async def test_a_boundary_that_is_none_is_refused(
    victim: tuple[AccountClient, str], boundary: str
) -> None:
    for kind in ("multipart/mixed", "multipart/form-data"):
        content_type = (kind + boundary).encode("latin-1")
        answer = await put(victim, content=AUDIO + END, headers={b"Content-Type": content_type})
        assert list(problems(answer)) == ["json"]


@pytest.mark.parametrize(
    "part_type", ["text/plain", "audio/midi", "audio/mp3\nX-Evil: 1", "image/*"]
)
async def test_a_file_of_another_type_is_a_415(
    victim: tuple[AccountClient, str], part_type: str
) -> None:
    answer = await put(victim, **mixed(audio_part(b"x", part_type), json_part()))
    data = refusal(answer, 415, "unsupported_media_type")
    assert {"audio/mpeg", "audio/wav", "audio/ogg", "audio/mp4"} < set(data["accepted"])


@pytest.mark.parametrize("content_type", ["audio/wav", "application/octet-stream"])
@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"PK\x03\x04" + bytes(500),
        b"%PDF-1.7\n\xe2\xe3\xcf\xd3",
        b"\x7fELF\x02\x01\x01" + bytes(500),
        b"a line of text\n",
        gzip.compress(a_wav()),
        an_mp4(1, kind=b"vide"),
    ],
    ids=["html", "zip", "pdf", "elf", "text", "gzip", "video"],
)
async def test_a_file_that_is_not_audio_is_a_415(
    victim: tuple[AccountClient, str], content: bytes, content_type: str
) -> None:
    bare = {"content": content, "headers": {"Content-Type": content_type}}
    for form in (bare, mixed(json_part(length=5), audio_part(content, content_type))):
        data = refusal(await put(victim, **form), 415, "unsupported_media_type")
        assert "not audio" in data["message"]
        assert {"audio/mpeg", "audio/wav"} < set(data["accepted"])


@pytest.mark.parametrize("coding", ["gzip", "GZIP, identity", "br", "x"])
async def test_a_content_encoding_is_a_415(victim: tuple[AccountClient, str], coding: str) -> None:
    account, vmbox_id = victim
    wav, encoding = {"Content-Type": "audio/wav"}, {"Content-Encoding": coding}
    part = ["Content-Type: audio/wav", f"Content-Encoding: {coding}"]
    json = gzip.compress(b'{"data": {"name": "x"}}')
    responses = [
        await put(victim, content=gzip.compress(a_wav()), headers=wav | encoding),
        await put(victim, content=a_wav(), headers=wav | encoding),
        await put(victim, **mixed(json_part(), (part, gzip.compress(a_wav())))),
        await put(victim, content=json, headers=encoding),
        await account.http.patch(
            account.path("vmboxes", vmbox_id), content=json, headers=JSON_TYPE | encoding
        ),
    ]
    for response in responses:
        data = refusal(response, 415, "unsupported_media_type")
        assert "Content-Encoding" in data["message"]
        assert response.headers["accept-encoding"] == "identity"


async def test_an_identity_encoding_is_no_encoding(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "messages")
    identity = {"Content-Encoding": "identity"}
    sent = await account.http.put(path, content=a_wav(), headers=MP3 | identity)
    assert data_of(sent, 201)["length"] == 1000
    part = ["Content-Type: audio/wav", "Content-Encoding: Identity"]
    sent = await account.http.put(path, **mixed((part, a_wav())))
    assert data_of(sent, 201)["length"] == 1000
    renamed = await account.http.patch(
        account.path("vmboxes", vmbox_id), json={"data": {"name": "New"}}, headers=identity
    )
    assert data_of(renamed)["name"] == "New"


async def test_json_in_a_part_is_bounded(victim: tuple[AccountClient, str]) -> None:
    big = mixed((["Content-Type: application/json"], b" " * 1_048_577), audio_part(b"x"))
    assert problems(await put(victim, **big), 413)["file"]["maxSize"]["target"] == 1_048_576


async def test_parameters_of_a_media_type_are_not_passed_on(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    for extra in ("x=\0", "x=\x01\x7f", "x=\xff", "x" * 8000, 'x="\t"'):
        upload = mixed(audio_part(b"x", f"audio/mp3; {extra}"))
        path = account.path("vmboxes", vmbox_id, "messages")
        answer = await account.http.put(path, **upload)
        if answer.status_code == 201:
            raw = await account.http.get(f"{path}/{data_of(answer, 201)['media_id']}/raw")
            assert (raw.content, raw.headers["content-type"]) == (b"x", "audio/mp3")
        else:
            problems(answer)
    assert await account.listed(vmbox_id)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Type: audio/mp3", "Content-Length: 100"], b"x" * 99),
        (["Content-Type: multipart/mixed; boundary=frontier", "Content-Length: 999"], AUDIO + END),
        (["Content-Type: application/json", "Content-Length: 99"], b'{"data": {}}'),
        (["Content-Type: audio/mp3", "Transfer-Encoding: chunked"], b"5\r\nabc"),
        (["Content-Type: audio/mp3", "Transfer-Encoding: chunked"], b"3\r\nabc\r\n"),
        (["Content-Type: audio/mp3", "Transfer-Encoding: chunked"], b"zz\r\nabc\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_that_ends_too_early_is_refused(
    victim: tuple[AccountClient, str], headers: Sequence[str], body: bytes
) -> None:
    answer = await exchange(victim[0].service, head(victim, *headers), body, half_close=True)
    assert problems(answer)["json"]["invalid"]["target"] == "body"


async def test_a_length_that_cuts_the_parts_off_is_refused(
    victim: tuple[AccountClient, str],
) -> None:
    headers = ["Content-Type: multipart/mixed; boundary=frontier", "Content-Length: 60"]
    answer = await exchange(victim[0].service, head(victim, *headers), JSON + AUDIO + END)
    assert problems(answer)["json"]["invalid"]["target"] == "body"


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: x"],
        ["Content-Length: -1"],
        ["Content-Length: 99999999999999999999999"],
        ["Content-Length: 1", "Content-Length: 2"],
        ["X: " + "x" * 1_000_000],
        [f"X-{number}: 1" for number in range(200)],
        ["Content-Type: audio/mp3\0", "Content-Length: 1"],
    ],
)
async def test_bytes_that_are_not_http_are_refused_by_the_http_layer(
    victim: tuple[AccountClient, str], headers: Sequence[str]
) -> None:
    answer = await exchange(victim[0].service, head(victim, *headers), b"x")
    assert answer.status_code in (400, 413, 415, 431)


async def test_a_client_that_disconnects_leaves_nothing(victim: tuple[AccountClient, str]) -> None:
    account, _ = victim
    host, port = account.service.url.removeprefix("http://").split(":")
    for sent in (b"", b"x" * 1000, b"x" * 3_000_000):
        _, writer = await asyncio.open_connection(host, int(port))
        lines = head(victim, "Host: x", "Content-Type: audio/mp3", "Content-Length: 5000000")
        writer.write("\r\n".join([*lines, "", ""]).encode() + sent)
        await writer.drain()
        writer.transport.abort()


async def test_audio_for_a_message_that_is_not_there_leaves_no_object(
    victim: tuple[AccountClient, str],
) -> None:
    account, vmbox_id = victim
    for path in (
        account.path("vmboxes", vmbox_id, "messages", f"{NOW:%Y%m}-{NO_ID}", "raw"),
        account.path("vmboxes", NO_ID, "messages"),
    ):
        answer = await account.http.put(path, **mixed(audio_part(b"x" * 70_000)))
        refusal(answer, 404, "bad_identifier")


async def test_audio_for_a_full_box_leaves_no_object(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(max_message_count=1)
    messages = account.path("vmboxes", vmbox_id, "messages")
    await account.leave(vmbox_id, folder="saved")
    before = await stored_objects(account)
    forms: list[dict[str, Any]] = [mixed(audio_part(b"x")), {"json": {"data": {}}}]
    for form in forms:
        full = refusal(await account.http.put(messages, **form), 409, "mailbox_full")
        assert full == {"max_message_count": 1, "message_count": 1}
    assert await stored_objects(account) == before
    assert len(await account.listed(vmbox_id)) == 1
