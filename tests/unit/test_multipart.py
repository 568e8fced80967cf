"""Multipart bodies: valid ones of real clients, and malformed ones."""

import base64

import pytest

from service.api.body.multipart import (
    MalformedBase64,
    MalformedBody,
    MetadataTooLarge,
    MultipartContent,
    PartLimitExceeded,
    TooManyFiles,
    UploadLimits,
    read_multipart,
)
from service.audio.spool import Spool
from service.domain.audio_errors import AudioTooLarge
from tests.support.audio_samples import a_wav, an_mp3
from tests.support.multipart import JSON, METADATA_PART, MIXED, a_body, part, pieces_of, read

AUDIO = b"\xff\xf3not quite audio\r\n--frontie\r\n\r\n--frontierX\r\n"
AUDIO_PART = part(AUDIO, "Content-Type: audio/mp3", 'Content-Disposition: x; filename="a.mp3"')


def a_curl_body(*parts: bytes) -> tuple[str, bytes]:
    """Returns the content type and body of curl 7.88 for a `multipart/mixed` upload."""
    boundary = b"------------------------51245ed47147e548"
    return f"multipart/mixed; boundary={boundary.decode()}", a_body(*parts, boundary=boundary)


CURL_METADATA = part(
    JSON,
    'Content-Disposition: attachment; name="content"; filename="message.json"',
    "Content-Type: application/json",
)


CURL_MP3 = part(
    an_mp3(),
    'Content-Disposition: attachment; name="content"; filename="voice.mp3"',
    "Content-Type: audio/mp3",
)


async def test_curl_with_metadata_and_audio_in_one_request() -> None:
    content_type, body = a_curl_body(CURL_METADATA, CURL_MP3)
    received, audio = await read(body, content_type)
    assert received == MultipartContent(
        metadata=JSON, has_file=True, content_type="audio/mp3", filename="voice.mp3"
    )
    assert audio == an_mp3()


async def test_curl_with_audio_alone() -> None:
    content_type, body = a_curl_body(CURL_MP3)
    received, audio = await read(body, content_type)
    assert received == MultipartContent(
        has_file=True, content_type="audio/mp3", filename="voice.mp3"
    )
    assert audio == an_mp3()


async def test_curl_as_a_form_and_encoded_as_base64() -> None:
    headers = (
        'Content-Disposition: form-data; name="content"; filename="voice.mp3"',
        "Content-Type: audio/mp3",
        "Content-Transfer-Encoding: base64",
    )
    text = base64.encodebytes(an_mp3()).replace(b"\n", b"\r\n")
    body = a_body(CURL_METADATA, part(text, *headers))
    received, audio = await read(body, "multipart/form-data; boundary=frontier")
    assert (received.content_type, audio) == ("audio/mp3", an_mp3())


@pytest.mark.parametrize(
    "parts", [(METADATA_PART, AUDIO_PART), (AUDIO_PART, METADATA_PART)], ids=["json", "audio"]
)
async def test_the_parts_may_have_either_order(parts: tuple[bytes, bytes]) -> None:
    received, audio = await read(a_body(*parts))
    assert received == MultipartContent(
        metadata=JSON, has_file=True, content_type="audio/mp3", filename="a.mp3"
    )
    assert audio == AUDIO


async def test_a_body_may_contain_metadata_only() -> None:
    assert await read(a_body(METADATA_PART)) == (MultipartContent(metadata=JSON), b"")


async def test_a_part_without_headers_is_a_file() -> None:
    received, audio = await read(a_body(part(AUDIO)))
    assert (received, audio) == (MultipartContent(has_file=True), AUDIO)


FORM_FIELD = 'Content-Disposition: form-data; name="content"'


@pytest.mark.parametrize(
    "parts",
    [
        [part(JSON, FORM_FIELD)],
        [part(b"\xef\xbb\xbf" + JSON)],
        [part(b" " * 100 + JSON, FORM_FIELD, "Content-Type: text/plain; charset=utf-8")],
        [part(JSON, FORM_FIELD + '; filename="blob"', "Content-Type: application/octet-stream")],
        [part(base64.b64encode(JSON), "Content-Transfer-Encoding: base64")],
        [part(b"", FORM_FIELD), METADATA_PART, part(b" ", FORM_FIELD + '; filename=""')],
    ],
)
async def test_a_json_object_of_unknown_type_is_the_metadata(parts: list[bytes]) -> None:
    received, audio = await read(a_body(AUDIO_PART, *parts))
    assert (received.metadata or b"").strip(b" \xef\xbb\xbf") == JSON
    assert (received.content_type, received.ignored_fields, audio) == ("audio/mp3", (), AUDIO)


@pytest.mark.parametrize("text", [b"Upload", b"{caller: 1}", "é".encode() * 300, b"\xe9"])
async def test_text_without_a_type_is_an_ignored_field(text: bytes) -> None:
    for parts in ([part(text, FORM_FIELD), AUDIO_PART], [AUDIO_PART, part(text, FORM_FIELD)]):
        received, audio = await read(a_body(*parts))
        assert (received.ignored_fields, received.metadata, audio) == (("content",), None, AUDIO)


@pytest.mark.parametrize("content", [b"", b"text"])
async def test_a_form_of_ignored_fields_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedBody) as caught:
        await read(a_body(part(content, FORM_FIELD)))
    assert "neither a JSON object nor a file" in caught.value.reason


async def test_an_empty_file_is_a_file() -> None:
    received, audio = await read(a_body(part(b"", "Content-Type: audio/wav")))
    assert (received.has_file, audio) == (True, b"")


async def test_a_body_without_parts_has_neither_metadata_nor_a_file() -> None:
    assert await read(b"--frontier--\r\n") == (MultipartContent(), b"")


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: application/json; charset=utf-8",
        "content-type: Application/JSON",
        "CONTENT-TYPE:application/x-json ;a=b",
    ],
)
async def test_a_part_is_metadata_by_its_content_type(header: str) -> None:
    assert await read(a_body(part(JSON, header))) == (MultipartContent(metadata=JSON), b"")


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/mixed; boundary="frontier"',
        "Multipart/Form-Data;charset=utf-8;BOUNDARY=frontier",
        'multipart/mixed; type="a;b"; boundary=frontier ',
    ],
)
async def test_the_boundary_may_be_quoted_and_at_any_position(content_type: str) -> None:
    assert (await read(a_body(METADATA_PART), content_type))[0].metadata == JSON


async def test_a_quoted_boundary_may_contain_more_characters_than_an_unquoted_one() -> None:
    body = a_body(METADATA_PART, boundary=b"=_a;b c?'")
    received, _ = await read(body, 'multipart/mixed; boundary="=_a;b c?\'"')
    assert received.metadata == JSON


async def test_text_around_the_parts_is_skipped() -> None:
    body = b"This is a multipart message.\r\n--no\r\n" + a_body(AUDIO_PART) + b"--frontier\r\nbye"
    received, audio = await read(body)
    assert (received.has_file, audio) == (True, AUDIO)


async def test_the_last_line_end_may_be_missing() -> None:
    assert (await read(a_body(AUDIO_PART).removesuffix(b"\r\n")))[1] == AUDIO


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/mixed",
        "multipart/mixed; boundary=",
        'multipart/mixed; boundary=""',
        f"multipart/mixed; boundary={'x' * 71}",
        "multipart/mixed; boundary=fr\xf6ntier",
        "multipart/mixed; boundary=fr\u2026ntier",
        "audio/mpeg; boundary=frontier",
        "",
    ],
)
async def test_a_body_without_a_valid_boundary_is_malformed(content_type: str) -> None:
    with pytest.raises(MalformedBody):
        await read(a_body(METADATA_PART), content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not multipart",
        b"x" * 20_000,
        a_body(AUDIO_PART).replace(b"--frontier--\r\n", b""),
        a_body(AUDIO_PART)[:40],
        a_body(AUDIO_PART).replace(b"\r\n", b"\n"),
        a_body(part(AUDIO, "no colon")),
        a_body(part(AUDIO, ": no name")),
        a_body(part(AUDIO, "Content-Transfer-Encoding: quoted-printable")),
        b"x" * 9_000 + b"\r\n" + a_body(AUDIO_PART),
    ],
)
async def test_an_incomplete_or_invalid_body_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        await read(body)


async def test_the_text_after_the_parts_is_bounded() -> None:
    with pytest.raises(MalformedBody):
        await read(a_body(AUDIO_PART) + b"x" * 20_000, cuts=range(0, 20_000, 100))


async def test_a_second_file_is_refused() -> None:
    with pytest.raises(TooManyFiles):
        await read(a_body(AUDIO_PART, METADATA_PART, AUDIO_PART))


@pytest.mark.parametrize(
    "body",
    [
        a_body(METADATA_PART, METADATA_PART),
        a_body(part(b"", *(f"X-{number}: a" for number in range(17)))),
        a_body(part(b"", f"X: {'a' * 9_000}")),
        a_body(part(b"", *(f"X: {'a' * 1_000}" for _ in range(9)))),
        a_body(part(b"", f"{'X' * 9_000}: a")),
    ],
)
async def test_parts_and_their_headers_are_bounded(body: bytes) -> None:
    with pytest.raises(PartLimitExceeded):
        await read(body)


async def test_the_number_of_parts_is_bounded() -> None:
    with pytest.raises(PartLimitExceeded):
        await read(a_body(METADATA_PART, AUDIO_PART), max_parts=1)


async def test_the_limit_of_metadata_is_exact() -> None:
    await read(a_body(METADATA_PART), max_metadata_bytes=len(JSON))
    with pytest.raises(MetadataTooLarge) as caught:
        await read(a_body(METADATA_PART), max_metadata_bytes=len(JSON) - 1)
    assert caught.value.limit == len(JSON) - 1


@pytest.mark.parametrize("step", [7, 1_000_000])
async def test_too_large_audio_is_reported_before_later_errors(step: int) -> None:
    body = a_body(AUDIO_PART, AUDIO_PART) + b"and more"
    pieces = pieces_of(body, range(0, len(body), step))
    with Spool(limit=5) as spool, pytest.raises(AudioTooLarge):
        await read_multipart(MIXED, pieces, spool, UploadLimits(), lambda _size: None)


def encoded(text: bytes, content_type: str = "audio/mp3") -> bytes:
    return a_body(part(text, f"Content-Type: {content_type}", "Content-Transfer-Encoding: BASE64"))


@pytest.mark.parametrize("length", range(7))
async def test_base64_is_decoded_as_it_arrives(length: int) -> None:
    audio = a_wav(0.01)[:length]
    assert (await read(encoded(base64.b64encode(audio))))[1] == audio


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (b"data:audio/ogg;base64,", "audio/ogg"),
        (b"DATA:audio/wav;rate=8000;BASE64,", "audio/wav;rate=8000"),
        (b"data:;base64,", "audio/mp3"),
    ],
)
async def test_the_type_in_a_data_uri_takes_precedence(head: bytes, content_type: str) -> None:
    received, audio = await read(encoded(head + base64.b64encode(AUDIO)))
    assert (received.content_type, audio) == (content_type, AUDIO)


@pytest.mark.parametrize(
    "text",
    [
        b"####",
        b"YWJj!",
        b"YWJ",
        b"YQ",
        b"YQ=",
        b"YQ==YQ==",
        b"Y===",
        b"====",
        b"YWJjYW-_",
        b"data:",
        b"data:audio/mp3",
        b"data:audio/mp3;base64",
        b"data:audio/mp3,abc",
        b"data:" + b"x" * 300 + b";base64,YWJj",
        b"data:audio/mp3;base64,####",
        b"data:\xff;base64,YWJj",
    ],
)
async def test_invalid_base64_is_reported_as_such(text: bytes) -> None:
    with pytest.raises(MalformedBase64):
        await read(encoded(text))


async def test_base64_may_start_with_the_letters_data() -> None:
    assert (await read(encoded(b"data")))[1] == base64.b64decode("data")


async def test_metadata_may_be_encoded_as_base64() -> None:
    body = encoded(base64.b64encode(JSON), "application/json")
    assert await read(body) == (MultipartContent(metadata=JSON), b"")
