"""Downloads that the service redirects to the audio store, or reads from its local cache."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.contract.described import DESCRIBED
from tests.contract.test_audit import recorded
from tests.contract.wire import NO_ID, problems, stored_objects, the_store
from tests.support.running import NO_TLS, AccountClient, RunningService, data_of, multipart
from tests.support.waiting import DEADLINE_S

SOUND = bytes(range(250)) * 400


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def redirecting(service: RunningService) -> AsyncIterator[RunningService]:
    """An API process that redirects by default, and has a cache of audio.

    The public host of the store differs from the internal one.
    """
    endpoint = service.environment["AFTERTONE_S3_ENDPOINT"].replace("127.0.0.1", "localhost")
    other = await service.another_api(
        AFTERTONE_S3_PUBLIC_ENDPOINT=endpoint,
        AFTERTONE_REDIRECT_AUDIO="true",
        AFTERTONE_AUDIO_CACHE_MB="8",
    )
    yield other
    await other.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def http(
    redirecting: RunningService, account: AccountClient
) -> AsyncIterator[httpx.AsyncClient]:
    async with redirecting.client(account.token) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def visitor() -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    async with httpx.AsyncClient(verify=NO_TLS, timeout=DEADLINE_S) as client:
        yield client


async def a_recording(account: AccountClient) -> str:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, SOUND, caller_id_number="Zoë 1", timestamp=63933364800)
    return account.path("vmboxes", vmbox_id, "messages", media_id)


def target_of(answer: httpx.Response) -> str:
    """Returns the URL of a redirect to the public host that is valid for 60 s."""
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["cache-control"] == "no-store"
    DESCRIBED.check(answer)
    url = answer.headers["location"]
    assert urlsplit(url).hostname == "localhost"
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["60"]
    return str(url)


async def test_a_redirect_leads_to_the_audio_with_its_name_type_and_ranges(
    account: AccountClient, http: httpx.AsyncClient, visitor: httpx.AsyncClient
) -> None:
    path = f"{await a_recording(account)}/raw"
    direct = await account.http.get(path)
    url = target_of(await http.get(path, params={"redirect": "true"}))
    whole = await visitor.get(url)
    assert (whole.status_code, whole.content) == (200, SOUND)
    for name in ("content-type", "content-disposition", "cache-control", "content-length"):
        assert whole.headers[name] == direct.headers[name]
    part = await visitor.get(url, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, SOUND[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(SOUND)}"
    past = await visitor.get(url, headers={"Range": f"bytes={len(SOUND)}-"})
    assert past.status_code == 416
    followed = await visitor.get(
        http.base_url.join(path),
        headers={"Range": "bytes=-5", "X-Auth-Token": account.token},
        follow_redirects=True,
    )
    assert (followed.status_code, followed.content) == (206, SOUND[-5:])


async def test_a_url_for_head_has_the_headers_and_does_not_return_the_audio(
    account: AccountClient, http: httpx.AsyncClient, visitor: httpx.AsyncClient
) -> None:
    path = f"{await a_recording(account)}/raw"
    direct = await account.http.head(path)
    url = target_of(await http.head(path))
    head = await visitor.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-disposition", "content-length"):
        assert head.headers[name] == direct.headers[name]
    assert (await visitor.get(url)).status_code == 403


async def test_a_changed_url_is_refused(
    account: AccountClient, http: httpx.AsyncClient, visitor: httpx.AsyncClient
) -> None:
    url = target_of(await http.get(f"{await a_recording(account)}/raw"))
    for changed in (
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        url.replace("attachment", "inline"),
        url.partition("?")[0],
    ):
        assert (await visitor.get(changed)).status_code == 403


async def test_a_redirect_needs_the_same_rights_and_conditions(
    account: AccountClient, http: httpx.AsyncClient, visitor: httpx.AsyncClient
) -> None:
    path = f"{await a_recording(account)}/raw"
    etag = (await account.http.get(path)).headers["etag"]
    known = await http.get(path, headers={"If-None-Match": etag})
    assert known.status_code == 304
    same = await http.get(path, headers={"If-Match": etag})
    assert (same.status_code, same.content) == (200, SOUND)
    assert (await http.get(path, headers={"If-Match": '"x"'})).status_code == 412
    assert (await http.get(path, headers={"Accept": "text/html"})).status_code == 406
    assert (await visitor.get(http.base_url.join(path))).status_code == 401
    media_id = path.split("/")[5]
    unknown = await http.get(path.replace(media_id, media_id[:7] + NO_ID))
    assert unknown.status_code == 404
    # The redirect of a HEAD returns no audio, so it is not recorded.
    target_of(await http.head(path))
    target_of(await http.get(path))
    read = await recorded(account, 3, action="message.audio_read")
    assert [(row["principal"], row["media_id"]) for row in read] == [("api_key", media_id)] * 3


async def test_a_recording_link_redirects_and_is_recorded(
    account: AccountClient, http: httpx.AsyncClient, visitor: httpx.AsyncClient
) -> None:
    path = await a_recording(account)
    link = data_of(await http.post(f"{path}/link"))["url"]
    target_of(await visitor.head(link))
    played = await visitor.get(target_of(await visitor.get(link)))
    assert (played.status_code, played.content) == (200, SOUND)
    (read,) = await recorded(account, action="message.audio_read")
    assert read["principal"] == "link"
    direct = await visitor.get(link, params={"redirect": "false"})
    assert (direct.status_code, direct.content) == (200, SOUND)


async def test_the_request_precedes_the_account_and_the_account_the_setting(
    account: AccountClient, http: httpx.AsyncClient
) -> None:
    path = f"{await a_recording(account)}/raw"
    cases: list[tuple[bool | None, dict[str, str], int]] = [
        (None, {}, 307),
        (None, {"redirect": "false"}, 200),
        (False, {}, 200),
        (False, {"redirect": "true"}, 307),
        (True, {}, 307),
        (True, {"redirect": "false"}, 200),
    ]
    for field, query, status in cases:
        changed: dict[str, Any] = {"data": {"redirect_audio": field}}
        data_of(await http.patch(account.path(), json=changed))
        assert (await http.get(path, params=query)).status_code == status


@pytest.mark.parametrize(("value", "rule"), [("true", "invalid"), ("yes", "enum"), ("", "enum")])
async def test_a_redirect_needs_a_public_endpoint(
    account: AccountClient, visitor: httpx.AsyncClient, value: str, rule: str
) -> None:
    path = await a_recording(account)
    link = data_of(await account.http.post(f"{path}/link"))["url"]
    for answer in (
        await account.http.get(f"{path}/raw", params={"redirect": value}),
        await visitor.get(link, params={"redirect": value}),
    ):
        assert problems(answer)["redirect"].keys() == {rule}
        DESCRIBED.check(answer)
    data_of(await account.http.patch(account.path(), json={"data": {"redirect_audio": True}}))
    direct = await account.http.get(f"{path}/raw")
    assert (direct.status_code, direct.content) == (200, SOUND)


async def test_audio_is_read_from_the_cache_of_the_process_until_its_message_is_removed(
    account: AccountClient, http: httpx.AsyncClient
) -> None:
    messages = account.path("vmboxes", await account.a_vmbox(), "messages")
    stored = await http.put(messages, **multipart(SOUND, "audio/mpeg", {}))
    path = f"{messages}/{data_of(stored, 201)['media_id']}"
    async with the_store(account) as store:
        await store.delete_many(await stored_objects(account))
    assert (await account.http.get(f"{path}/raw")).status_code == 404
    cached = await http.get(f"{path}/raw", params={"redirect": "false"})
    assert (cached.status_code, cached.content) == (200, SOUND)
    data_of(await http.delete(path))
    gone = await http.get(f"{path}/raw", params={"redirect": "false"})
    assert gone.status_code == 404
