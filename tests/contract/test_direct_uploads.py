"""Direct uploads: audio that clients send to the audio store, and the messages that name it."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from service.audio.spool import Spool
from tests.contract.described import DESCRIBED
from tests.contract.direct_uploads import Uploader
from tests.contract.test_audit import recorded
from tests.contract.test_quotas import limit_account
from tests.contract.wire import NO_ID, assert_nothing_stored, problems, refusal, the_store
from tests.support.audio_samples import a_wav, an_mp3, an_opus
from tests.support.running import NO_TLS, AccountClient, RunningService, data_of, multipart
from tests.support.waiting import DEADLINE_S

MAX_BYTES = 12_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def direct(service: RunningService) -> AsyncIterator[RunningService]:
    """An API process with a public endpoint of the store, and a cache of audio."""
    endpoint = service.environment["AFTERTONE_S3_ENDPOINT"].replace("127.0.0.1", "localhost")
    other = await service.another_api(
        AFTERTONE_S3_PUBLIC_ENDPOINT=endpoint,
        AFTERTONE_AUDIO_CACHE_MB="8",
        AFTERTONE_MAX_DIRECT_UPLOAD_BYTES=str(MAX_BYTES),
    )
    yield other
    await other.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor() -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    async with httpx.AsyncClient(verify=NO_TLS, timeout=DEADLINE_S) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def http(direct: RunningService, account: AccountClient) -> AsyncIterator[httpx.AsyncClient]:
    async with direct.client(account.token) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def vmbox_id(account: AccountClient) -> str:
    return await account.a_vmbox()


@pytest_asyncio.fixture(loop_scope="session")
async def uploader(
    account: AccountClient, http: httpx.AsyncClient, visitor: httpx.AsyncClient, vmbox_id: str
) -> Uploader:
    return Uploader(http, visitor, account.path("vmboxes", vmbox_id, "messages"))


async def replace_object(
    account: AccountClient, announced: dict[str, Any], body: bytes, content_type: str
) -> None:
    """Stores other bytes than announced, as a store without checksums would."""
    _, _, key = urlsplit(announced["url"]).path.partition("/audio/")
    async with the_store(account) as store:
        with Spool(len(body)) as spool:
            await spool.write(body)
            await store.put(f"audio/{key}", spool, content_type)


# A WAV whose header is in the first block and whose length the store's checksum proves; one with
# a chunk far behind it, and other formats, which are read as a whole.
_LONG_WAV = a_wav(seconds=20)
_TRAILED_WAV = bytearray(a_wav(seconds=20) + b"LIST\x04\x00\x00\x00abcd")
_TRAILED_WAV[4:8] = (len(_TRAILED_WAV) - 8).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("audio", "content_type", "stored_type"),
    [
        (a_wav(), "audio/x-wave", "audio/wav"),
        (_LONG_WAV, "audio/wav", "audio/wav"),
        (bytes(_TRAILED_WAV), "audio/x-wav", "audio/x-wav"),
        (an_mp3(), "audio/mpeg", "audio/mpeg"),
        (an_opus(2000), "audio/ogg", "audio/ogg"),
        (os.urandom(70_000), "audio/x-gsm", "audio/x-gsm"),
    ],
)
async def test_a_direct_upload_gives_the_message_of_a_normal_one(
    account: AccountClient,
    uploader: Uploader,
    vmbox_id: str,
    audio: bytes,
    content_type: str,
    stored_type: str,
) -> None:
    metadata = {"caller_id_name": "Zoë", "caller_id_number": "1001", "folder": "saved"}
    normal = data_of(
        await account.http.put(uploader.messages, **multipart(audio, content_type, metadata)), 201
    )
    answer = await uploader.announce(audio, content_type, **metadata)
    DESCRIBED.check(answer)
    announced = data_of(answer, 201)
    assert await uploader.send(announced, audio) == 200
    answer = await uploader.complete(announced)
    DESCRIBED.check(answer)
    message = data_of(answer, 201)
    assert answer.headers["location"].endswith(message["media_id"])
    differing = {"media_id", "call_id", "timestamp"}
    assert {k: v for k, v in message.items() if k not in differing} == {
        k: v for k, v in normal.items() if k not in differing
    }
    for client in (uploader._http, account.http):
        raw = await client.get(f"{uploader.messages}/{message['media_id']}/raw")
        assert (raw.status_code, raw.content) == (200, audio)
        assert raw.headers["content-type"] == stored_type
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 2}


async def test_the_metadata_of_the_message_precedes_that_of_the_announcement(
    uploader: Uploader,
) -> None:
    audio = an_mp3()
    announced = await uploader.uploaded(
        audio, "audio/mpeg", caller_id_name="First", caller_id_number="1", call_id="c"
    )
    message = data_of(
        await uploader.complete(announced, caller_id_name="Second", caller_id_number=None), 201
    )
    names = ("caller_id_name", "caller_id_number", "call_id")
    assert [message[name] for name in names] == ["Second", "1", "c"]
    warned = await uploader.announce(audio, "audio/mpeg", caller_id_name="x" * 50, other=1)
    fields = {warning["field"] for warning in warned.json()["warnings"]}
    assert fields == {"caller_id_name", "other"}


async def test_the_store_refuses_other_bytes_sizes_types_and_times(
    account: AccountClient, uploader: Uploader, vmbox_id: str
) -> None:
    audio = a_wav()
    announced = data_of(await uploader.announce(audio), 201)
    assert await uploader.send(announced, os.urandom(len(audio))) == 400
    assert await uploader.send(announced, audio[:-1], **{"Content-Length": "16043"}) == 403
    assert await uploader.send(announced, audio, **{"Content-Type": "audio/mpeg"}) == 403
    assert await uploader.send(announced, audio, **{"x-amz-checksum-sha256": "x"}) == 403
    longer = announced["url"].replace("X-Amz-Expires=1800", "X-Amz-Expires=18000")
    assert longer != announced["url"]
    assert await uploader.send({**announced, "url": longer}, audio) == 403
    answer = await uploader.complete(announced)
    assert refusal(answer, 409, "upload_missing")["message"]
    DESCRIBED.check(answer)
    await assert_nothing_stored(account, vmbox_id)
    # The refused requests have used nothing up.
    assert await uploader.send(announced, audio) == 200
    data_of(await uploader.complete(announced), 201)


@pytest.mark.parametrize(
    ("declared", "stored", "stored_type", "field"),
    [
        (a_wav(), a_wav()[:-1] + b"x", "audio/wav", "sha256"),
        (_LONG_WAV, _LONG_WAV[:-1] + b"x", "audio/wav", "sha256"),
        (a_wav(), a_wav() + b"x", "audio/wav", "size"),
        (a_wav(), a_wav(), "audio/mpeg", "content_type"),
        (an_mp3(), an_mp3(), "audio/wav", "content_type"),
    ],
)
async def test_the_service_verifies_what_a_store_without_checksums_accepts(
    account: AccountClient,
    uploader: Uploader,
    vmbox_id: str,
    declared: bytes,
    stored: bytes,
    stored_type: str,
    field: str,
) -> None:
    announced = data_of(await uploader.announce(declared), 201)
    await replace_object(account, announced, stored, stored_type)
    answer = await uploader.complete(announced)
    assert problems(answer)[field].keys() == {"mismatch"}
    assert await account.listed(vmbox_id) == []


async def test_a_file_that_is_not_the_declared_audio_is_refused(
    account: AccountClient, uploader: Uploader, vmbox_id: str
) -> None:
    other = await uploader.uploaded(an_mp3(), "audio/wav")
    assert problems(await uploader.complete(other))["content_type"].keys() == {"mismatch"}
    page = await uploader.uploaded(b"<!DOCTYPE html><html></html>", "audio/wav")
    assert refusal(await uploader.complete(page), 415, "unsupported_media_type")
    header = await uploader.uploaded(a_wav(seconds=0), "audio/wav")
    assert problems(await uploader.complete(header))["file"].keys() == {"required"}
    assert await account.listed(vmbox_id) == []


async def test_a_message_may_be_larger_than_an_upload_through_the_service(
    account: AccountClient, uploader: Uploader
) -> None:
    audio = a_wav(seconds=550)
    assert 8_000_000 < len(audio) < MAX_BYTES
    through = await account.http.put(uploader.messages, **multipart(audio, "audio/wav", {}))
    assert through.status_code == 413
    message = data_of(await uploader.complete(await uploader.uploaded(audio)), 201)
    assert message["length"] == 550_000
    declared: dict[str, Any] = {"size": MAX_BYTES + 1}
    too_large = await uploader.announce(b"", **declared)
    assert problems(too_large, 413)["file"]["maxSize"]["target"] == MAX_BYTES
    DESCRIBED.check(too_large)


async def test_a_completion_that_is_repeated_gives_the_same_message(
    account: AccountClient, uploader: Uploader, vmbox_id: str
) -> None:
    announced = await uploader.uploaded(a_wav())
    answers = await asyncio.gather(*(uploader.complete(announced) for _ in range(4)))
    first, *others = [data_of(answer, 201) for answer in answers]
    assert others == [first] * 3
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    # Neither a full box nor replaced audio nor other metadata makes it another message.
    path = f"{uploader.messages}/{first['media_id']}"
    box = account.path("vmboxes", vmbox_id)
    data_of(await account.http.patch(box, json={"data": {"max_message_count": 1}}))
    replaced = await account.http.put(f"{path}/raw", **multipart(an_mp3(), "audio/mpeg", {}))
    data_of(replaced, 201)
    again = data_of(await uploader.complete(announced, caller_id_name="Other"), 201)
    assert (again["media_id"], again["caller_id_name"]) == (first["media_id"], "anonymous")
    raw = await account.http.get(f"{path}/raw")
    assert raw.content == an_mp3()


async def test_the_completion_of_a_removed_message_does_not_store_it_again(
    account: AccountClient, uploader: Uploader, vmbox_id: str
) -> None:
    announced = await uploader.uploaded(a_wav())
    message = data_of(await uploader.complete(announced), 201)
    data_of(await account.http.delete(f"{uploader.messages}/{message['media_id']}"))
    assert (await uploader.complete(announced)).status_code == 404
    assert await account.listed(vmbox_id) == []


async def test_idempotency_keys_cover_announcements_and_completions(
    account: AccountClient, uploader: Uploader, vmbox_id: str
) -> None:
    audio = a_wav()
    first = data_of(await uploader.announce(audio, key="a", caller_id_name="Ann"), 201)
    second = data_of(await uploader.announce(audio, key="a", caller_id_name="Ann"), 201)
    assert second == first
    other = await uploader.announce(audio, key="a", caller_id_name="Bob")
    refusal(other, 422, "idempotency_key_reused")
    assert await uploader.send(first, audio) == 200
    message = data_of(await uploader.complete(first, key="b"), 201)
    # The whole sequence again, under a new announcement: the key makes it the same message.
    repeated = await uploader.uploaded(audio, caller_id_name="Ann")
    assert data_of(await uploader.complete(repeated, key="b"), 201) == message
    # The same upload under another key.
    for _ in range(2):
        again = data_of(await uploader.complete(first, key="c"), 201)
        assert again["media_id"] == message["media_id"]
    assert len(await account.listed(vmbox_id)) == 1


async def test_a_token_is_valid_for_its_box_only(
    account: AccountClient,
    uploader: Uploader,
    service: RunningService,
    direct: RunningService,
    visitor: httpx.AsyncClient,
) -> None:
    announced = await uploader.uploaded(a_wav())
    stranger = await service.an_account()
    async with direct.client(stranger.token) as client:
        theirs = stranger.path("vmboxes", await stranger.a_vmbox(), "messages")
        elsewhere = account.path("vmboxes", await account.a_vmbox(), "messages")
        token = announced["upload"]
        refused = [
            await Uploader(client, visitor, theirs).complete(announced),
            await Uploader(uploader._http, visitor, elsewhere).complete(announced),
            await uploader.complete({"upload": token[:-4] + "AAAA"}),
            await uploader.complete({"upload": "é" * 40}),
            await uploader.complete({"upload": "A" * 9000}),
            await uploader.complete({"upload": 7}),
        ]
        for answer in refused:
            assert problems(answer)["upload"].keys() == {"invalid"}
        DESCRIBED.check(refused[0])
        assert (
            await Uploader(client, visitor, uploader.messages).announce(b"x")
        ).status_code == 403
    await stranger.http.aclose()


async def test_an_announcement_is_checked_like_a_message(
    account: AccountClient,
    direct: RunningService,
    uploader: Uploader,
    http: httpx.AsyncClient,
    visitor: httpx.AsyncClient,
) -> None:
    audio = a_wav()
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"size": 0}, "size", "minimum"),
        ({"size": None}, "size", "required"),
        ({"sha256": "abc"}, "sha256", "wrong_format"),
        ({"content_type": "application/octet-stream"}, "content_type", "enum"),
        ({"content_type": "text/html"}, "content_type", "enum"),
        ({"folder": "inbox"}, "folder", "enum"),
        ({"timestamp": 1}, "timestamp", "date_range"),
    ]
    for data, field, rule in cases:
        answer = await uploader.announce(audio, **{"content_type": "audio/wav", **data})
        assert problems(answer)[field].keys() == {rule}
        DESCRIBED.check(answer)
    unknown = Uploader(http, visitor, account.path("vmboxes", NO_ID, "messages"))
    assert (await unknown.announce(audio)).status_code == 404
    there = AccountClient(direct, account.account_id, account.realm, account.token)
    await limit_account(there, stored_bytes=len(audio) + 10)
    first, second = await uploader.uploaded(audio), await uploader.uploaded(audio)
    data_of(await uploader.complete(first), 201)
    for answer in (await uploader.complete(second), await uploader.announce(audio)):
        assert refusal(answer, 409, "quota_exceeded")["quota"] == "stored_bytes"


async def test_a_message_is_in_the_month_of_its_upload(uploader: Uploader) -> None:
    last_year = 63_929_000_000
    announced = await uploader.uploaded(an_mp3(), "audio/mpeg", timestamp=last_year)
    other_month = await uploader.complete(announced, timestamp=last_year + 40 * 86_400)
    assert problems(other_month)["timestamp"].keys() == {"date_range"}
    message = data_of(await uploader.complete(announced), 201)
    assert message["timestamp"] == last_year


async def test_a_full_box_refuses_the_message_and_keeps_its_upload(
    account: AccountClient, http: httpx.AsyncClient, visitor: httpx.AsyncClient
) -> None:
    box = await account.a_vmbox(max_message_count=1)
    uploader = Uploader(http, visitor, account.path("vmboxes", box, "messages"))
    announced = await uploader.uploaded(a_wav())
    blocking = await account.leave(box)
    refusal(await uploader.complete(announced, key="k"), 409, "mailbox_full")
    data_of(await account.http.delete(f"{uploader.messages}/{blocking}"))
    message = data_of(await uploader.complete(announced, key="k"), 201)
    (stored, _) = await recorded(account, 2, action="message.new")
    assert stored["media_id"] == message["media_id"]


async def test_direct_uploads_need_a_public_endpoint(
    account: AccountClient, visitor: httpx.AsyncClient, vmbox_id: str
) -> None:
    uploader = Uploader(account.http, visitor, account.path("vmboxes", vmbox_id, "messages"))
    answer = await uploader.announce(a_wav())
    assert problems(answer)["upload"].keys() == {"invalid"}
    DESCRIBED.check(answer)


async def test_an_upload_beside_audio_in_the_request_is_an_unknown_field(
    account: AccountClient, vmbox_id: str
) -> None:
    messages = account.path("vmboxes", vmbox_id, "messages")
    stored = await account.http.put(messages, **multipart(an_mp3(), "audio/mpeg", {"upload": "x"}))
    data_of(stored, 201)
    assert [warning["field"] for warning in stored.json()["warnings"]] == ["upload"]
