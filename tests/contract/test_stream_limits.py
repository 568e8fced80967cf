"""Limits of event streams: for one token, for one account, for the process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
import pytest_asyncio

from tests.contract.test_quotas import limit_account
from tests.support.running import AccountClient, RunningService
from tests.support.waiting import wait_until

STREAM = {"Accept": "text/event-stream"}
PER_TOKEN, PER_ACCOUNT, TOTAL = 2, 3, 4


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def limited(service: RunningService) -> AsyncIterator[RunningService]:
    api = await service.another_api(
        AFTERTONE_MAX_STREAMS_PER_TOKEN=str(PER_TOKEN),
        AFTERTONE_MAX_STREAMS_PER_ACCOUNT=str(PER_ACCOUNT),
        AFTERTONE_MAX_STREAMS=str(TOTAL),
    )
    yield api
    await api.stop()


@pytest.mark.long
async def test_an_account_has_its_own_number_of_streams(
    limited: RunningService, account: AccountClient
) -> None:
    async with limited.client(account.token) as client, AsyncExitStack() as streams:

        async def open_stream() -> httpx.Response:
            stream = client.stream("GET", account.path("events"), headers=STREAM)
            return await streams.enter_async_context(stream)

        await limit_account(account, streams=1)

        async def is_limited() -> bool:
            # Another process uses a new quota within 5 s. Until then this account has no stream.
            first, second = await open_stream(), await open_stream()
            await first.aclose()
            await second.aclose()
            return (first.status_code, second.status_code) == (200, 429)

        await wait_until(is_limited)


async def another_token(account: AccountClient) -> str:
    key = (await account.http.get(account.path("api_key"))).json()["data"]["api_key"]
    signed_in = await account.http.put("api_auth", json={"data": {"api_key": key}})
    return str(signed_in.json()["auth_token"])


@pytest.mark.parametrize("share", ["token", "account", "process"])
async def test_streams_beyond_a_limit_are_refused_until_one_ends(
    limited: RunningService, service: RunningService, account: AccountClient, share: str
) -> None:
    other = await service.an_account()
    path, others_path = account.path("events"), other.path("events")
    same, second = (path, account.token), (path, await another_token(account))
    third = (others_path, other.token)
    held, refused = {
        "token": ([same, same], same),
        "account": ([same, same, second], second),
        "process": ([same, same, second, third], third),
    }[share]
    async with limited.client("") as client, AsyncExitStack() as streams:

        async def open_stream(path: str, token: str) -> httpx.Response:
            headers = {**STREAM, "X-Auth-Token": token}
            return await streams.enter_async_context(client.stream("GET", path, headers=headers))

        answers = [await open_stream(*which) for which in held]
        assert {answer.status_code for answer in answers} == {200}
        answer = await open_stream(*refused)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert b'"too_many_streams"' in await answer.aread()
        # Pages need no slot.
        page = await client.get(refused[0], headers={"X-Auth-Token": refused[1]})
        assert page.status_code == 200
        await answers[-1].aclose()

        async def is_accepted() -> bool:
            return (await open_stream(*held[-1])).status_code == 200

        await wait_until(is_accepted)
    await other.http.aclose()
