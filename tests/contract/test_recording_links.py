"""Recording links: their creation, their audio, and requests that they do not allow."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from service.api.kazoo.times import gregorian, parse_iso
from service.domain.account import Method
from service.domain.clock import utc_now
from service.security import Tokens, load_key_ring
from tests.contract.described import DESCRIBED
from tests.contract.test_request_log import logged
from tests.contract.wire import problems, refusal, success
from tests.support.running import NO_TLS, AccountClient, data_of
from tests.support.waiting import DEADLINE_S, wait_until

SOUND = bytes(range(256)) * 4
MINUTES = 5 * 60


@pytest_asyncio.fixture(loop_scope="session")
async def visitor() -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    async with httpx.AsyncClient(verify=NO_TLS, timeout=DEADLINE_S) as client:
        yield client


async def a_recording(account: AccountClient, audio: bytes = SOUND) -> str:
    """The path of a new message with audio."""
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, audio, caller_id_number="1001")
    return account.path("vmboxes", vmbox_id, "messages", media_id)


async def a_link(account: AccountClient, path: str, **data: Any) -> str:
    answer = await account.http.post(f"{path}/link", json={"data": data})
    url: str = data_of(answer)["url"]
    return url


async def test_a_link_is_a_url_of_the_requested_host_with_its_expiry(
    account: AccountClient,
) -> None:
    path = await a_recording(account)
    bodies: list[dict[str, Any]] = [{}, {"data": {}}, {"data": {"expires_in_s": "300"}}]
    for body in bodies:
        answer = await account.http.post(f"{path}/link", json=body)
        link = success(answer, account.token)["data"]
        assert link["url"].startswith(f"{account.service.url}/v2/recordings/")
        assert 0 <= link["expires"] - gregorian(utc_now()) <= MINUTES
        DESCRIBED.check(answer)
    elsewhere = await account.http.post(f"{path}/link", headers={"Host": "voicemail.example:81"})
    assert data_of(elsewhere)["url"].startswith("http://voicemail.example:81/v2/recordings/")
    audian = await account.http.post(f"{path}/link", params={"profile": "audian"})
    assert parse_iso(data_of(audian)["expires"]) is not None


async def test_a_public_url_is_the_beginning_of_every_link(account: AccountClient) -> None:
    path = await a_recording(account)
    other = await account.service.another_api(AFTERTONE_PUBLIC_URL="https://vm.example.com/")
    try:
        async with other.client(account.token) as client:
            answer = await client.post(f"{path}/link")
    finally:
        await other.stop()
    assert data_of(answer)["url"].startswith("https://vm.example.com/v2/recordings/")


async def test_a_link_plays_the_recording_as_raw_does(
    account: AccountClient, visitor: httpx.AsyncClient
) -> None:
    path = await a_recording(account)
    url = await a_link(account, path)
    raw = await account.http.get(f"{path}/raw")
    played = await visitor.get(url)
    assert (played.status_code, played.content) == (200, SOUND)
    assert _lasting(played) == _lasting(raw)
    DESCRIBED.check(played)

    head = await visitor.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert _lasting(head) == _lasting(raw)

    part = await visitor.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, SOUND[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(SOUND)}"
    past = await visitor.get(url, headers={"Range": "bytes=5000-"})
    refusal(past, 416, "range not satisfiable")
    known = await visitor.get(url, headers={"If-None-Match": played.headers["etag"]})
    assert known.status_code == 304
    refusal(await visitor.get(url, headers={"Accept": "text/html"}), 406, "not_acceptable")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_link_cannot_be_written(
    account: AccountClient, visitor: httpx.AsyncClient, method: str
) -> None:
    url = await a_link(account, await a_recording(account))
    answer = await visitor.request(method, url)
    refusal(answer, 405, "invalid_method")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_a_link_is_no_token_and_a_token_is_no_link(
    account: AccountClient, visitor: httpx.AsyncClient
) -> None:
    path = await a_recording(account)
    url = await a_link(account, path)
    base, _, token = url.rpartition("/")
    places: list[dict[str, Any]] = [
        {"headers": {"X-Auth-Token": token}},
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"params": {"auth_token": token}},
    ]
    for shown in places:
        answer = await visitor.get(f"{account.service.url}/v2/{path}/raw", **shown)
        refusal(answer, 401, "invalid credentials")
    refusal(await visitor.get(f"{base}/{account.token}"), 401, "invalid_link")
    with_token = await account.http.get(f"{base}/{account.token}")
    refusal(with_token, 401, "invalid_link")


async def test_a_changed_link_is_refused(
    account: AccountClient, visitor: httpx.AsyncClient
) -> None:
    url = await a_link(account, await a_recording(account))
    other = await a_link(account, await a_recording(account))
    base, _, token = url.rpartition("/")
    head, body, signature = token.split(".")
    _, other_body, _ = other.rpartition("/")[2].split(".")
    for changed in (
        "x",
        "a.b.c",
        f"{head}.{body}.",
        f"{head}.{other_body}.{signature}",
        f"{head}.{body}.{signature[::-1]}",
        "x" * 5000,
    ):
        answer = await visitor.get(f"{base}/{changed}")
        data = refusal(answer, 401, "invalid_link")
        assert data["message"].endswith("create a new link.")
        DESCRIBED.check(answer)
    # Only a POST opens a link without a token in its path.
    refusal(await visitor.get(f"{base}/"), 405, "invalid_method")


async def test_a_link_ends_when_its_message_is_removed(
    account: AccountClient, visitor: httpx.AsyncClient
) -> None:
    path = await a_recording(account)
    url = await a_link(account, path)
    data_of(await account.http.post(path, json={"data": {"folder": "saved"}}))
    assert (await visitor.get(url)).status_code == 200
    data_of(await account.http.delete(path))
    refusal(await visitor.get(url), 404, "bad_identifier")


async def test_a_link_ends_with_a_revoked_token_and_a_new_api_key(
    account: AccountClient, visitor: httpx.AsyncClient
) -> None:
    path = await a_recording(account)
    ring = load_key_ring(account.service.folder / "keys.json")
    second, _ = Tokens(ring, 3600).issue(
        UUID(account.account_id), auth_epoch=1, method=Method.API_KEY, now=utc_now()
    )
    own = await a_link(account, path)
    async with account.service.client(second) as client:
        other = data_of(await client.post(f"{path}/link"))["url"]
        data_of(await client.delete("token_auth"))
    refusal(await visitor.get(other), 401, "invalid_link")
    assert (await visitor.get(own)).status_code == 200
    data_of(await account.http.put(account.path("api_key")), 201)
    refusal(await visitor.get(own), 401, "invalid_link")


async def test_a_link_to_a_message_of_another_tenant_or_of_none_is_refused(
    account: AccountClient,
) -> None:
    path = await a_recording(account)
    other = await account.service.an_account()
    async with other.http:
        refusal(await other.http.post(f"{path}/link"), 403, "forbidden")
        own = path.replace(account.account_id, other.account_id)
        refusal(await other.http.post(f"{own}/link"), 404, "bad_identifier")
    pending = await account.http.put(path.rpartition("/")[0], json={"data": {}})
    silent = f"{path.rpartition('/')[0]}/{data_of(pending, 201)['media_id']}"
    refusal(await account.http.post(f"{silent}/link"), 404, "bad_identifier")


@pytest.mark.parametrize(
    ("value", "rule"),
    [(0, "minimum"), (-5, "minimum"), (86_401, "maximum"), ("soon", "type"), (1.5, "type")],
)
async def test_a_lifetime_must_be_up_to_a_day(
    account: AccountClient, value: object, rule: str
) -> None:
    path = await a_recording(account)
    answer = await account.http.post(f"{path}/link", json={"data": {"expires_in_s": value}})
    assert problems(answer)["expires_in_s"].keys() == {rule}
    day = await account.http.post(f"{path}/link", json={"data": {"expires_in_s": 86_400}})
    assert data_of(day)["expires"] - gregorian(utc_now()) > 86_000


async def test_a_link_that_has_expired_is_refused(
    account: AccountClient, visitor: httpx.AsyncClient
) -> None:
    url = await a_link(account, await a_recording(account), expires_in_s=1)

    async def has_expired() -> bool:
        return (await visitor.get(url)).status_code == 401

    await wait_until(has_expired)
    refusal(await visitor.get(url), 401, "invalid_link")


async def test_the_log_has_the_route_of_a_link_and_not_its_token(
    account: AccountClient, visitor: httpx.AsyncClient
) -> None:
    url, name = await a_link(account, await a_recording(account)), uuid4().hex
    await visitor.get(url, headers={"X-Request-ID": name})
    line = await logged(account, name)
    assert line["route"] == "/v2/recordings/{link_token}"
    assert line["account_id"] == account.account_id
    assert url.rpartition(".")[2].encode() not in (account.service.folder / "api.log").read_bytes()


def _lasting(answer: httpx.Response) -> dict[str, str]:
    """The headers that do not differ between two answers."""
    return {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")}
