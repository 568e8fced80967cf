"""Rate limit in both dialects: a 429 with `Retry-After`."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from service.settings import Settings
from tests.contract.described import DESCRIBED
from tests.contract.mailboxes import mailbox_client, refused
from tests.contract.test_mailboxes_credentials import PASSWORD, a_reseller, below
from tests.contract.wire import refusal
from tests.support.running import AccountClient, RunningService

BURST = 3


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def limited(service: RunningService) -> AsyncIterator[RunningService]:
    api = await service.another_api(
        AFTERTONE_RATE_LIMIT_PER_S="0.25", AFTERTONE_RATE_LIMIT_BURST=str(BURST)
    )
    yield api
    await api.stop()


async def _first_refused(client: httpx.AsyncClient) -> httpx.Response:
    """Sends requests until one is refused; a slow machine may send more than the burst."""
    answers = [await client.get("token_auth") for _ in range(BURST)]
    while answers[-1].is_success:
        answers.append(await client.get("token_auth"))
        assert len(answers) < 100
    assert [answer.status_code for answer in answers[:BURST]] == [200] * BURST
    return answers[-1]


async def test_an_account_is_refused_after_its_burst_and_accepted_again_later(
    limited: RunningService, account: AccountClient
) -> None:
    async with limited.client(account.token) as client:
        answer = await _first_refused(client)
        data = refusal(answer, 429, "too_many_requests", account.token)
        assert data == {"message": "too many requests"}
        DESCRIBED.check(answer)
        wait_s = int(answer.headers["retry-after"])
        assert 1 <= wait_s <= 4
        await asyncio.sleep(wait_s)
        assert (await client.get("token_auth")).status_code == 200


async def test_all_requests_of_a_caller_share_one_limit(
    limited: RunningService, account: AccountClient
) -> None:
    reseller = await a_reseller(account)
    acted_for, _ = await below(account)
    proof = {"x_auth_reseller": reseller.name, "x_auth_user": "pete", "x_auth_password": PASSWORD}
    async with (
        limited.client(account.token) as client,
        mailbox_client(limited, x_auth_token=account.token) as by_token,
        mailbox_client(limited, x_auth_for=acted_for, **proof) as by_password,
    ):
        await _first_refused(client)
        for answer in [await item.get("/authenticated") for item in (by_token, by_password)]:
            refused(answer, 429, "Too Many Requests")
            assert 1 <= int(answer.headers["retry-after"]) <= 4


async def test_an_account_is_accepted_while_another_is_refused(
    limited: RunningService, service: RunningService, account: AccountClient
) -> None:
    other = await service.an_account()
    async with limited.client(account.token) as client, limited.client(other.token) as of_other:
        await _first_refused(client)
        assert (await of_other.get("token_auth")).status_code == 200
    await other.http.aclose()


async def test_a_request_about_an_account_counts_once(
    limited: RunningService, account: AccountClient
) -> None:
    async with limited.client(account.token) as client:
        path = account.path("children")
        answers = [await client.get(path) for _ in range(BURST)]
    assert [answer.status_code for answer in answers] == [200] * BURST


async def test_without_the_settings_requests_are_unlimited(
    account: AccountClient,
) -> None:
    request_count = Settings().rate_limit_burst + 20
    answers = [await account.http.get("token_auth") for _ in range(request_count)]
    assert {answer.status_code for answer in answers} == {200}
