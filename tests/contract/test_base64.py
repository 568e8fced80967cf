"""Uploads in base64: as a body or as a part, plain or as a data URI."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.contract.wire import assert_nothing_stored, json_part, mixed, problems, refusal
from tests.support.running import AccountClient, RunningService, data_of

AUDIO = bytes(range(256)) * 40
LINES = base64.encodebytes(AUDIO)
PLAIN = base64.b64encode(AUDIO)
CODED = {"Content-Transfer-Encoding": "base64"}
LIMIT = 8_000_000


async def stored(account: AccountClient, **request: Any) -> tuple[httpx.Response, str]:
    """Stores a message; returns its audio and its path."""
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    answer = await account.http.put(messages, **request)
    path = f"{messages}/{data_of(answer, 201)['media_id']}/raw"
    return await account.http.get(path), path


@pytest.mark.parametrize(
    ("content", "headers", "content_type"),
    [
        (PLAIN, {**CODED, "Content-Type": "audio/wav"}, "audio/wav"),
        (LINES, {**CODED, "Content-Type": "audio/mpeg"}, "audio/mpeg"),
        (LINES, {"Content-Transfer-Encoding": "BASE64", "Content-Type": "audio/ogg"}, "audio/ogg"),
        (PLAIN, CODED, "application/octet-stream"),
        (PLAIN, {"Content-Type": "application/base64"}, "application/octet-stream"),
        (PLAIN, {"Content-Type": "application/x-base64"}, "application/octet-stream"),
        (
            b"data:audio/mp3;base64," + PLAIN,
            {**CODED, "Content-Type": "audio/wav"},
            "audio/mp3",
        ),
        (b"data:audio/wav;base64," + LINES, {"Content-Type": "application/base64"}, "audio/wav"),
        (b"data:audio/wav;rate=8000;base64," + PLAIN, CODED, "audio/wav"),
        (b"DATA:;base64," + PLAIN, {**CODED, "Content-Type": "audio/wav"}, "audio/wav"),
    ],
)
async def test_a_base64_body_is_decoded(
    account: AccountClient, content: bytes, headers: dict[str, str], content_type: str
) -> None:
    raw, path = await stored(account, content=content, headers=headers)
    assert (raw.content, raw.headers["content-type"]) == (AUDIO, content_type)
    replaced = await account.http.put(path, content=content, headers=headers)
    assert data_of(replaced, 201)
    again = await account.http.get(path)
    assert (again.content, again.headers["content-type"]) == (AUDIO, content_type)


async def test_json_beside_the_header_stays_json(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    answer = await account.http.put(messages, json={"data": {"call_id": "c"}}, headers=CODED)
    assert data_of(answer, 201)["call_id"] == "c"


async def test_the_largest_audio_fits_as_base64_too(account: AccountClient) -> None:
    audio = b"x" * LIMIT
    text = base64.encodebytes(audio)
    headers = {**CODED, "Content-Type": "audio/wav"}
    raw, _ = await stored(account, content=text, headers=headers)
    assert raw.content == audio
    part = (["Content-Type: audio/wav", "Content-Transfer-Encoding: base64"], text)
    raw, _ = await stored(account, **mixed(json_part(), part))
    assert raw.content == audio


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def victim(service: RunningService) -> AsyncIterator[tuple[AccountClient, str]]:
    """Account with an empty box, which must still be empty after the test."""
    account = await service.an_account()
    vmbox_id = await account.a_vmbox()
    yield account, account.path("vmboxes", vmbox_id, "messages")
    await assert_nothing_stored(account, vmbox_id)
    await account.http.aclose()


@pytest.mark.parametrize(
    "content",
    [
        b"no base64!",
        PLAIN[:-3],
        PLAIN + b"=",
        PLAIN + b"====" + PLAIN,
        b"data:audio/wav," + PLAIN,
        b"data:audio/wav;base64" + PLAIN[:100],
        b"data:" + b"x" * 5000,
        b"dat",
        b"data:",
        "däta".encode(),
    ],
)
async def test_undecodable_input_is_refused(
    victim: tuple[AccountClient, str], content: bytes
) -> None:
    account, path = victim
    for headers in ({**CODED, "Content-Type": "audio/wav"}, {"Content-Type": "application/base64"}):
        answer = await account.http.put(path, content=content, headers=headers)
        message = "failed to decode base64 data"
        assert problems(answer) == {"file": {"encoding": {"message": message}}}


async def test_no_audio_in_base64_is_no_audio(victim: tuple[AccountClient, str]) -> None:
    account, path = victim
    for content in (b"", b"\r\n", b"data:audio/wav;base64,"):
        headers = {"Content-Type": "application/base64"}
        answer = await account.http.put(path, content=content, headers=headers)
        assert "required" in problems(answer)["file"]


async def test_base64_beyond_the_limit_is_a_413(victim: tuple[AccountClient, str]) -> None:
    account, path = victim
    headers = {"Content-Type": "application/base64"}
    for content in (base64.b64encode(b"x" * (LIMIT + 1)), b" " * (2 * LIMIT)):
        answer = await account.http.put(path, content=content, headers=headers)
        assert problems(answer, 413)["file"]["maxSize"]["target"] == LIMIT


async def test_a_data_uri_of_another_type_is_a_415(victim: tuple[AccountClient, str]) -> None:
    account, path = victim
    for kind in ("text/html", "application/json", "multipart/mixed"):
        content = f"data:{kind};base64,".encode() + PLAIN
        headers = {**CODED, "Content-Type": "audio/wav"}
        answer = await account.http.put(path, content=content, headers=headers)
        refusal(answer, 415, "unsupported_media_type")


async def test_an_unknown_transfer_encoding_is_refused(victim: tuple[AccountClient, str]) -> None:
    account, path = victim
    headers = {"Content-Transfer-Encoding": "uuencode", "Content-Type": "audio/wav"}
    answer = await account.http.put(path, content=AUDIO, headers=headers)
    assert "invalid" in problems(answer)["json"]
