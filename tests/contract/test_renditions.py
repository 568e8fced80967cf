"""Audio in another format than the stored one: negotiation, caching, removal."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from service.api.http.rendition_choice import choose_format
from service.domain.audio_errors import FormatNotAcceptable
from service.domain.message import Audio
from service.domain.rendition import RenditionFormat
from tests.contract.described import DESCRIBED
from tests.contract.wire import problems, refusal, stored_greetings, the_store
from tests.support.audio_samples import a_mu_law_wav, a_wav, an_mp3
from tests.support.running import AccountClient, data_of, multipart

MP3, WAV, OPUS, M4A = (
    RenditionFormat.MP3,
    RenditionFormat.WAV,
    RenditionFormat.OPUS,
    RenditionFormat.M4A,
)
UNREADABLE = bytes(range(250)) * 10
FIREFOX = "audio/webm,audio/ogg,audio/wav,audio/*;q=0.9,application/ogg;q=0.7,*/*;q=0.5"


class _Request:
    """The parts of a request that choose a format."""

    def __init__(self, accept: str) -> None:
        self.headers = {"accept": accept}
        self.query_params: dict[str, str] = {}


def chosen(accept: str, stored_type: str) -> RenditionFormat | str | None:
    audio = Audio(key="k", content_type=stored_type, size=1, sha256=b"")
    request: Any = _Request(accept)
    try:
        return choose_format(request, audio, can_convert=True)
    except FormatNotAcceptable:
        return "refused"


@pytest.mark.parametrize(
    ("accept", "stored_type", "format"),
    [
        ("", "audio/x-wav", None),
        ("*/*", "audio/x-wav", None),
        ("audio/*", "audio/x-wav", None),
        ("application/octet-stream", "audio/x-wav", None),
        ("audio/wav", "audio/x-wav", None),
        ("audio/mpeg", "audio/mp3", None),
        ("audio/mpeg", "audio/x-wav", MP3),
        ("AUDIO/MPEG ; q=0.3", "audio/x-wav", MP3),
        ("audio/wav;q=0.9, audio/mpeg", "audio/x-wav", MP3),
        ("audio/wav;q=0.5, audio/mpeg;q=0.4", "audio/x-wav", None),
        ("audio/mp4;q=0.8, audio/ogg;q=0.7", "audio/mpeg", M4A),
        ("audio/opus, audio/*;q=0.1", "audio/mpeg", OPUS),
        ("audio/mpeg;q=0, */*", "audio/mpeg", WAV),
        ("audio/wav;q=0, audio/*", "audio/mpeg", None),
        ("*/*;q=0, audio/x-wav", "audio/mpeg", WAV),
        (FIREFOX, "audio/mpeg", None),
        (FIREFOX, "audio/amr", None),
        ("audio/flac", "audio/mpeg", "refused"),
        ("audio/flac", "audio/flac", None),
        ("audio/*;q=0", "audio/mpeg", "refused"),
        ("image/png", "audio/mpeg", "refused"),
    ],
)
def test_the_format_with_the_highest_weight_is_chosen(
    accept: str, stored_type: str, format: RenditionFormat | str | None
) -> None:
    assert chosen(accept, stored_type) == format


@pytest_asyncio.fixture(loop_scope="session")
async def recording(account: AccountClient) -> AsyncIterator[str]:
    """The path of a message with a mu-law WAV of one second."""
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(
        vmbox_id, a_mu_law_wav(), "audio/x-wav", caller_id_number="1001", timestamp=63933364800
    )
    yield account.path("vmboxes", vmbox_id, "messages", media_id)


async def objects_of(account: AccountClient, media_id: str) -> list[str]:
    """The keys of the objects of a message, in order."""
    month, _, message_id = media_id.partition("-")
    async with the_store(account) as store:
        prefix = f"audio/{month}/{account.account_id}/{message_id}/"
        return [item.key async for item in store.list(prefix)]


async def test_a_rendition_has_a_type_a_name_an_etag_and_ranges_of_its_own(
    account: AccountClient, recording: str
) -> None:
    stored = await account.http.get(f"{recording}/raw")
    answer = await account.http.get(f"{recording}/raw", headers={"Accept": "audio/mpeg"})
    DESCRIBED.check(answer)
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-disposition"].endswith('_12:00:00.mp3"')
    assert answer.headers["etag"] != stored.headers["etag"]
    assert "Accept," in answer.headers["vary"]
    named = await account.http.get(f"{recording}/raw", params={"format": "mp3"})
    assert named.content == answer.content
    part = await account.http.get(
        f"{recording}/raw", params={"format": "mp3"}, headers={"Range": "bytes=100-199"}
    )
    assert (part.status_code, part.content) == (206, answer.content[100:200])
    unchanged = await account.http.get(
        f"{recording}/raw",
        params={"format": "mp3"},
        headers={"If-None-Match": answer.headers["etag"]},
    )
    assert unchanged.status_code == 304
    head = await account.http.head(f"{recording}/raw", params={"format": "mp3"})
    assert head.headers["content-length"] == str(len(answer.content))


async def test_a_rendition_is_made_once_and_is_not_listed(
    account: AccountClient, recording: str
) -> None:
    answers = await asyncio.gather(
        *(account.http.get(f"{recording}/raw", params={"format": "opus"}) for _ in range(5))
    )

    assert len({answer.content for answer in answers}) == 1
    _, _, _, vmbox_id, _, media_id = recording.split("/")
    extensions = [key.rpartition(".")[2] for key in await objects_of(account, media_id)]
    assert extensions == ["wav", "opus"]
    listed = await account.listed(vmbox_id, created_to=63934000000)
    assert [row["media_id"] for row in listed] == [media_id]


async def test_an_unknown_format_and_an_unacceptable_type_are_refused(
    account: AccountClient, recording: str
) -> None:
    unknown = await account.http.get(f"{recording}/raw", params={"format": "flac"})
    assert problems(unknown)["format"]["enum"]["target"][0] == "mp3"
    DESCRIBED.check(unknown)
    answer = await account.http.get(f"{recording}/raw", headers={"Accept": "audio/flac"})
    data = refusal(answer, 406, "not_acceptable")
    DESCRIBED.check(answer)
    assert {"format": "mp3", "content_type": "audio/mpeg"} in data["available"]
    assert data["stored"] == "audio/x-wav"


async def test_audio_that_cannot_be_decoded_is_returned_only_as_it_is_stored(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, UNREADABLE)
    path = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")

    for _ in range(2):
        answer = await account.http.get(path, params={"format": "wav"})
        refusal(answer, 422, "audio_unreadable")
    DESCRIBED.check(answer)
    assert (await account.http.get(path)).status_code == 200


async def test_the_other_dialect_and_links_return_renditions(
    account: AccountClient, recording: str
) -> None:
    link = data_of(await account.http.post(f"{recording}/link", json={"data": {}}))["url"]
    played = await account.http.get(link, params={"format": "m4a"})
    assert played.headers["content-type"] == "audio/mp4"
    _, _, _, vmbox_id, _, media_id = recording.split("/")
    url = f"{account.service.url}/voip/mailbox/{vmbox_id}/messages/{media_id}/audio"
    answer = await account.http.get(url, headers={"Accept": "audio/mpeg"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
    refused = await account.http.get(url, headers={"Accept": "audio/flac"})
    assert refused.status_code == 406
    assert "audio/mpeg" in refused.json()["result"]["errors"]["accept"]


async def test_an_archive_contains_the_requested_format(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    ids = [
        await account.leave(vmbox_id, a_wav(), "audio/wav"),
        await account.leave(vmbox_id, an_mp3()),
        await account.leave(vmbox_id, UNREADABLE),
    ]
    answer = await account.http.post(
        account.path("vmboxes", vmbox_id, "messages", "raw"),
        params={"format": "opus"},
        json={"data": {"messages": ids}},
    )
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    extensions = [name.rpartition(".")[2] for name in archive.namelist()]
    assert extensions == ["opus", "opus", "mp3"]


async def test_a_purge_deletes_renditions_with_their_original(
    account: AccountClient, recording: str
) -> None:
    data = await account.http.get(f"{recording}/raw", params={"format": "wav16k"})
    assert data.status_code == 200
    data_of(await account.http.delete(recording))
    _, _, _, vmbox_id, _, media_id = recording.split("/")
    await account.http.request(
        "DELETE",
        account.path("vmboxes", vmbox_id, "trash"),
        json={"data": {"messages": [media_id]}},
    )
    assert await objects_of(account, media_id) == []


async def test_the_oldest_renditions_are_deleted_above_the_quota(
    account: AccountClient, recording: str
) -> None:
    async with account.service.client(account.service.root_token) as root:
        limits = {"data": {"limits": {"rendition_bytes": 20_000}}}
        data_of(await root.patch(account.path(), json=limits))
    media_id = recording.split("/")[5]
    for name in ("wav16k", "wav", "mp3"):
        answer = await account.http.get(f"{recording}/raw", params={"format": name})
        assert answer.status_code == 200

    objects = await objects_of(account, media_id)
    assert [key.rpartition(".")[2] for key in objects] != []
    assert not any("wav16k" in key for key in objects)
    assert any(".mp3-" in key for key in objects)


async def test_a_greeting_has_renditions_and_its_replacement_deletes_them(
    account: AccountClient,
) -> None:
    form = multipart(a_mu_law_wav(), "audio/x-wav", {"name": "Hello"})
    media_id = data_of(await account.http.put(account.path("media"), **form), 201)["id"]
    path = account.path("media", media_id, "raw")
    answer = await account.http.get(path, headers={"Accept": "audio/mpeg"})
    DESCRIBED.check(answer)
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-disposition"] == 'attachment; filename="Hello.mp3"'
    assert len(await stored_greetings(account)) == 2

    headers = {"Content-Type": "audio/mpeg"}
    data_of(await account.http.put(path, content=an_mp3(), headers=headers), 201)

    assert [key.rpartition(".")[2] for key in await stored_greetings(account)] == ["mp3"]


async def test_a_replacement_of_the_audio_deletes_the_renditions_of_the_old_one(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, a_mu_law_wav(), "audio/x-wav")
    recording = account.path("vmboxes", vmbox_id, "messages", media_id)
    before = await account.http.get(f"{recording}/raw", params={"format": "alaw"})
    replaced = await account.http.put(
        f"{recording}/raw", content=a_wav(2.0), headers={"Content-Type": "audio/wav"}
    )
    data_of(replaced, 201)
    assert len(await objects_of(account, media_id)) == 1

    after = await account.http.get(f"{recording}/raw", params={"format": "alaw"})

    assert len(after.content) > len(before.content)
    assert after.headers["etag"] != before.headers["etag"]
