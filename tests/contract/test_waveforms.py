"""Waveforms of messages: points, pictures, caching, links, and the facts beside them."""

import struct
import zlib
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest_asyncio

from tests.contract.described import DESCRIBED
from tests.contract.test_audit import recorded
from tests.contract.wire import problems, refusal
from tests.support.audio_samples import a_mu_law_wav, a_wav
from tests.support.running import NO_TLS, AccountClient, data_of
from tests.support.waiting import DEADLINE_S

UNREADABLE = bytes(range(250)) * 10


@pytest_asyncio.fixture(loop_scope="session")
async def recording(account: AccountClient) -> str:
    """The path of a message with a tone of two seconds."""
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, a_wav(2.0), "audio/wav")
    return account.path("vmboxes", vmbox_id, "messages", media_id)


@pytest_asyncio.fixture(loop_scope="session")
async def inspector(account: AccountClient) -> AsyncIterator[asyncpg.Connection]:
    url = account.service.environment["AFTERTONE_OWNER_DATABASE_URL"]
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def pixels_of(picture: bytes) -> list[bytes]:
    """The rows of a PNG with one byte per pixel, each after its filter byte."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(picture):
        (size,) = struct.unpack_from(">I", picture, position)
        body = picture[position + 4 : position + 8 + size]
        assert struct.unpack_from(">I", picture, position + 8 + size)[0] == zlib.crc32(body)
        chunks[body[:4]] = body[4:]
        position += 12 + size
    width, height, depth, kind = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert (depth, kind) == (8, 3)
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == (width + 1) * height
    return [rows[start + 1 : start + 1 + width] for start in range(0, len(rows), width + 1)]


async def outlines(inspector: asyncpg.Connection, account: AccountClient) -> int:
    count: int = await inspector.fetchval(
        "SELECT count(*) FROM waveforms WHERE hex(account_id) = $1", account.account_id
    )
    return count


async def test_a_waveform_has_the_requested_points_and_is_stored_at_the_first_request(
    account: AccountClient, recording: str, inspector: asyncpg.Connection
) -> None:
    assert await outlines(inspector, account) == 0
    for points in (None, 1, 7, 2000):
        query = {} if points is None else {"points": str(points)}
        answer = await account.http.get(f"{recording}/waveform", params=query)
        DESCRIBED.check(answer)
        waveform = data_of(answer)
        assert waveform["duration_ms"] == 2000
        assert waveform["length"] == (points or 1000)
        assert len(waveform["data"]) == 2 * waveform["length"]
        assert min(waveform["data"]) == -35
        assert max(waveform["data"]) == 35
        assert await outlines(inspector, account) == 1
    reads = await recorded(account, 4, action="message.waveform_read")
    assert [read["media_id"] for read in reads] == [recording.rpartition("/")[2]] * 4


async def test_a_picture_shows_the_waveform(account: AccountClient, recording: str) -> None:
    accepts = ("image/png", "image/avif,image/webp,image/*,*/*;q=0.8")
    answers = [
        await account.http.get(
            f"{recording}/waveform", params={"points": "300"}, headers={"Accept": accept}
        )
        for accept in accepts
    ]
    for answer in answers:
        DESCRIBED.check(answer)
        assert answer.headers["content-type"] == "image/png"
    rows = pixels_of(answers[0].content)
    assert answers[1].content == answers[0].content
    assert (len(rows), len(rows[0])) == (128, 300)
    filled = [row for row in rows if any(row)]
    # 35 of 128 above the middle and as much below it.
    assert 32 <= len(filled) <= 36
    assert filled[len(filled) // 2] == b"\1" * 300
    json = await account.http.get(f"{recording}/waveform", headers={"Accept": "*/*"})
    assert json.headers["content-type"] == "application/json"


async def test_a_waveform_is_revalidated_until_the_audio_is_replaced(
    account: AccountClient, recording: str
) -> None:
    url = f"{recording}/waveform"
    first = await account.http.get(url)
    assert first.headers["cache-control"] == "private, no-cache"
    etag = first.headers["etag"]
    again = await account.http.get(url, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    others = [
        await account.http.get(url, params={"points": "10"}, headers={"If-None-Match": etag}),
        await account.http.get(url, headers={"If-None-Match": etag, "Accept": "image/png"}),
    ]
    assert [other.status_code for other in others] == [200, 200]
    put = await account.http.put(
        f"{recording}/raw", content=a_mu_law_wav(1.0), headers={"Content-Type": "audio/wav"}
    )
    data_of(put, 201)
    replaced = await account.http.get(url, headers={"If-None-Match": etag})
    assert data_of(replaced)["duration_ms"] == 1000


async def test_the_number_of_points_is_bounded(account: AccountClient, recording: str) -> None:
    for points in ("0", "2001", "-1", "1.5", "", "a", "\u0663", "9" * 30):
        answer = await account.http.get(f"{recording}/waveform", params={"points": points})
        assert "points" in problems(answer)


async def test_errors_are_those_of_the_audio(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    unreadable = await account.leave(vmbox_id, UNREADABLE, "audio/mpeg")
    for _ in range(2):
        answer = await account.http.get(f"{messages}/{unreadable}/waveform")
        DESCRIBED.check(answer)
        refusal(answer, 422, "audio_unreadable")
    pending = data_of(await account.http.put(messages, json={"data": {}}), 201)["media_id"]
    missing = f"{messages}/202601-{'a' * 32}/waveform"
    for path in (f"{messages}/{pending}/waveform", missing):
        assert (await account.http.get(path)).status_code == 404
    text = await account.http.get(
        f"{messages}/{unreadable}/waveform", headers={"Accept": "text/html"}
    )
    assert text.status_code == 406


async def test_a_link_shows_the_waveform_without_credentials(
    account: AccountClient, recording: str
) -> None:
    link = data_of(await account.http.post(f"{recording}/link"))["url"]
    async with httpx.AsyncClient(verify=NO_TLS, timeout=DEADLINE_S) as visitor:
        answer = await visitor.get(f"{link}/waveform", params={"points": "5"})
        DESCRIBED.check(answer)
        assert answer.json()["data"]["length"] == 5
        (read,) = await recorded(account, action="message.waveform_read")
        assert read["principal"] == "link"
        data_of(await account.http.delete(recording))
        assert (await visitor.get(f"{link}/waveform")).status_code == 404


async def test_purged_messages_lose_their_outline(
    account: AccountClient, recording: str, inspector: asyncpg.Connection
) -> None:
    data_of(await account.http.get(f"{recording}/waveform"))
    assert await outlines(inspector, account) == 1
    data_of(await account.http.delete(recording))
    *_, vmbox_id, _, media_id = recording.split("/")
    trash = account.path("vmboxes", vmbox_id, "trash")
    data_of(await account.http.request("DELETE", trash, json={"data": {"messages": [media_id]}}))
    assert await outlines(inspector, account) == 0


async def test_a_copy_has_the_outline_of_its_source(
    account: AccountClient, recording: str, inspector: asyncpg.Connection
) -> None:
    waveform = data_of(await account.http.get(f"{recording}/waveform"))
    other = await account.a_vmbox()
    copied = data_of(await account.http.post(recording, json={"data": {"source_id": [other]}}))
    assert await outlines(inspector, account) == 2
    (media_id,) = copied["succeeded"]
    copy = account.path("vmboxes", other, "messages", media_id)
    assert data_of(await account.http.get(f"{copy}/waveform")) == waveform
