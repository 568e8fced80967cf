"""Audio over HTTP: ranges (RFC 9110, section 14), conditions, file names."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio

from tests.contract.wire import NO_ID, NOW, golden, mixed, refusal
from tests.contract.wire import audio_part as a_part
from tests.support.running import AccountClient, RunningService, data_of

SOUND = bytes(range(100)) * 6000  # more than two blocks as they are read from the store
SIZE = len(SOUND)


async def raw_of(account: AccountClient, audio: bytes = SOUND, **data: Any) -> str:
    """The path of a new message's audio."""
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, audio, **data)
    return account.path("vmboxes", vmbox_id, "messages", media_id, "raw")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sound(service: RunningService) -> AsyncIterator[tuple[AccountClient, str]]:
    """A message that nobody changes, with the path of its audio."""
    account = await service.an_account()
    yield account, await raw_of(account)
    await account.http.aclose()


@pytest.mark.parametrize(
    ("requested", "first", "last"),
    [
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=0-1", 0, 1),
        ("bytes=0-0", 0, 0),
        ("bytes=5-5", 5, 5),
        ("bytes=262143-262144", 262_143, 262_144),
        ("bytes=1000-599998", 1000, 599_998),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes=0-{SIZE - 1}", 0, SIZE - 1),
        (f"bytes=10-{SIZE}", 10, SIZE - 1),
        ("bytes=0-99999999999999999999999999", 0, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-300000", SIZE - 300_000, SIZE - 1),
        (f"bytes=-{SIZE + 1}", 0, SIZE - 1),
        ("Bytes=2-3", 2, 3),
    ],
)
async def test_one_range_is_a_206(
    sound: tuple[AccountClient, str], requested: str, first: int, last: int
) -> None:
    account, path = sound
    answer = await account.http.get(path, headers={"Range": requested})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.content == SOUND[first : last + 1]
    head = await account.http.head(path, headers={"Range": requested})
    assert (head.status_code, head.content) == (206, b"")
    assert head.headers["content-range"] == answer.headers["content-range"]


@pytest.mark.parametrize(
    "requested",
    [
        f"bytes={SIZE}-",
        f"bytes={SIZE}-{SIZE + 5}",
        "bytes=99999999999999999999999999-",
        "bytes=-0",
    ],
)
async def test_a_range_behind_the_end_is_a_416(
    sound: tuple[AccountClient, str], requested: str
) -> None:
    account, path = sound
    answer = await account.http.get(path, headers={"Range": requested})
    assert refusal(answer, 416, "range not satisfiable", account.token) == {}
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "requested",
    ["bytes=5-2", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes=", "bytes=-", "0-1", "bytes"],
)
async def test_anything_but_one_range_of_bytes_returns_the_whole_audio(
    sound: tuple[AccountClient, str], requested: str
) -> None:
    account, path = sound
    answer = await account.http.get(path, headers={"Range": requested})
    assert (answer.status_code, answer.content) == (200, SOUND)
    assert "content-range" not in answer.headers
    assert answer.headers["accept-ranges"] == "bytes"


async def test_a_download_continues_only_with_the_same_audio(account: AccountClient) -> None:
    path = await raw_of(account)
    begun = await account.http.get(path, headers={"Range": "bytes=0-9"})
    rest = {"Range": "bytes=10-", "If-Range": begun.headers["etag"]}
    assert (await account.http.get(path, headers=rest)).status_code == 206
    upload = {"Content-Type": "audio/mp3"}
    data_of(await account.http.put(path, content=b"other", headers=upload), 201)
    whole = await account.http.get(path, headers=rest)
    assert (whole.status_code, whole.content) == (200, b"other")
    by_date = {"Range": "bytes=0-1", "If-Range": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert (await account.http.get(path, headers=by_date)).status_code == 200


async def test_audio_that_is_known_is_not_sent_again(sound: tuple[AccountClient, str]) -> None:
    account, path = sound
    etag = (await account.http.get(path)).headers["etag"]
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        answer = await account.http.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    for other in ('"x"', etag.strip('"'), ""):
        answer = await account.http.get(path, headers={"If-None-Match": other})
        assert (answer.status_code, len(answer.content)) == (200, SIZE)


async def test_audio_is_sent_only_while_it_is_what_the_client_expects(
    sound: tuple[AccountClient, str],
) -> None:
    account, path = sound
    etag = (await account.http.get(path)).headers["etag"]
    for expected in (etag, f'"x", {etag}', "*"):
        some = {"If-Match": expected, "Range": "bytes=0-9"}
        assert (await account.http.get(path, headers=some)).status_code == 206
    for other in ('"x"', f"W/{etag}"):
        answer = await account.http.get(path, headers={"If-Match": other})
        assert (answer.status_code, answer.json()["message"]) == (412, "precondition_failed")


async def test_the_name_of_a_file_is_the_caller_and_the_time(account: AccountClient) -> None:
    path = await raw_of(account, b"x", caller_id_number="+15550100", timestamp=63_630_058_722)
    answer = await account.http.get(path)
    assert answer.headers["content-disposition"] == (
        'attachment; filename="+15550100_2016-05-10_00:18:42.mp3"'
    )
    anonymous = await account.http.get(await raw_of(account, b"x"))
    assert "anonymous_" in anonymous.headers["content-disposition"]


@pytest.mark.parametrize(
    ("number", "plain"),
    [
        ('1"; filename="evil.exe', "1_; filename=_evil.exe"),
        ("1\r\nSet-Cookie: a=b", "1Set-Cookie: a=b"),
        ("..\\..\\1/../2", "_._.._1_.._2"),
        ("Zoë 😀 100%", "Zo_ _ 100%"),
        ("1\u202e3pm.exe", "13pm.exe"),
        ("\x01\x1f\x7f\x85\u2028", "anonymous"),
    ],
)
async def test_a_hostile_number_cannot_leave_its_quotes(
    account: AccountClient, number: str, plain: str
) -> None:
    path = await raw_of(account, b"x", caller_id_number=number)
    answer = await account.http.get(path)
    output = answer.headers["content-disposition"]
    assert "set-cookie" not in answer.headers
    name = re.fullmatch(
        r'attachment; filename="([ !#-\[\]-~]*)"(; filename\*=UTF-8\'\'(\S+))?', output
    )
    assert name, output
    assert name[1].rpartition("_")[0].rpartition("_")[0] == plain
    if name[3]:
        kept = data_of(await account.http.get(path.removesuffix("/raw")))["caller_id_number"]
        assert unquote(name[3]).startswith(f"{kept}_")


async def test_audio_is_found_where_its_message_is_and_nowhere_else(
    account: AccountClient,
) -> None:
    path = await raw_of(account)
    _, _, _, vmbox_id, _, media_id, _ = path.split("/")
    other = await account.a_vmbox()
    for elsewhere in (other, NO_ID):
        for method in ("GET", "HEAD"):
            wrong = account.path("vmboxes", elsewhere, "messages", media_id, "raw")
            answer = await account.http.request(method, wrong)
            assert answer.status_code == 404
        put = await account.http.put(wrong, **mixed(a_part(b"x")))
        cause = media_id if elsewhere == other else NO_ID
        assert refusal(put, 404, "bad_identifier")["cause"] == cause
    data_of(await account.http.delete(account.path("vmboxes", vmbox_id, "messages", media_id)))
    for method in ("GET", "HEAD"):
        assert (await account.http.request(method, path)).status_code == 404


async def test_audio_of_a_deleted_box_is_not_found(account: AccountClient) -> None:
    path = await raw_of(account)
    vmbox_id = path.split("/")[3]
    data_of(await account.http.delete(account.path("vmboxes", vmbox_id)))
    gone = refusal(await account.http.get(path), 404, "bad_identifier")
    assert gone["cause"] == vmbox_id


async def test_a_message_without_audio_is_marked(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    media_id = data_of(await account.http.put(messages, json={"data": {}}), 201)["id"]
    answer = await account.http.get(f"{messages}/{media_id}/raw")
    golden("audio_missing", answer, {account.token: "AUTH_TOKEN"})
    assert answer.status_code == 404
    assert media_id.startswith(f"{NOW:%Y%m}")
