"""Tokens of a request: places, precedence, refusals."""

from typing import Any

import pytest
from litestar import Request
from litestar.testing import RequestFactory

from service.api.http.auth import caller_of, token_of
from service.api.middleware.access_log import RequestRecord
from service.domain.account import AccountFacts
from service.domain.errors import TokenInvalid
from service.postgres import accounts as account_rows
from service.postgres.pool import Database
from service.usecases.accounts import Accounts
from tests.support.accounts import a_child, a_key_ring, a_root, accounts_over, signed_in

AnyRequest = Request[Any, Any, Any]


def a_request(
    headers: dict[str, str] | None = None, query: dict[str, Any] | None = None, verb: str = "get"
) -> AnyRequest:
    request: AnyRequest = getattr(RequestFactory(), verb)("/", headers=headers, query_params=query)
    request.scope["state"]["request_record"] = RequestRecord(method="GET", started_at=0.0)
    return request


def read_token(request: AnyRequest, *, tokens_in_query: bool = True) -> str | None:
    return token_of(request, tokens_in_query=tokens_in_query)


@pytest.mark.parametrize(
    ("headers", "query", "token"),
    [
        ({"X-Auth-Token": "a"}, {}, "a"),
        ({"X-Auth-Token": "a", "Authorization": "Bearer b"}, {"auth_token": "c"}, "a"),
        ({"Authorization": "Bearer b"}, {"auth_token": "c"}, "c"),
        ({"Authorization": "Bearer b"}, {}, "b"),
        ({"Authorization": "bearer  b "}, {}, "b"),
        ({"X-Auth-Token": "", "Authorization": "Bearer b"}, {}, "b"),
        ({"X-Auth-Token": ""}, {"auth_token": "c"}, "c"),
        ({"X-Auth-Token": ""}, {"auth_token": ""}, None),
        ({"Authorization": "Basic b"}, {}, None),
        ({"Authorization": "Bearer"}, {}, None),
        ({"Authorization": "b"}, {}, None),
        ({}, {"authorization": "b"}, None),
        ({}, {}, None),
    ],
)
def test_the_first_token_that_is_not_empty_counts(
    headers: dict[str, str], query: dict[str, Any], token: str | None
) -> None:
    assert read_token(a_request(headers, query)) == token


@pytest.mark.parametrize("verb", ["post", "put", "patch", "delete"])
def test_a_token_in_the_query_does_not_change_anything(verb: str) -> None:
    assert read_token(a_request(query={"auth_token": "c"}, verb=verb)) is None


def test_tokens_in_the_query_can_be_switched_off() -> None:
    assert read_token(a_request(query={"auth_token": "c"}), tokens_in_query=False) is None


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return accounts_over(database, a_key_ring())


@pytest.mark.parametrize("token", ["x", "a.b.c", "ü", "null"])
async def test_a_bad_token_is_refused_even_beside_a_good_one(
    accounts: Accounts, token: str
) -> None:
    root = await a_root(accounts)
    good = await accounts.sessions.issue_token(root, root.account.account_id, 60)
    request = a_request({"Authorization": f"Bearer {good}"}, {"auth_token": token})
    assert token_of(request, tokens_in_query=True) == token
    with pytest.raises(TokenInvalid):
        await caller_of(request, accounts.sessions, token)


async def test_a_request_must_name_the_account_of_its_token(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    token = await signed_in(accounts, root, child)
    for named in ("", child.account_id.hex, child.account_id.hex.upper()):
        request = a_request({"X-Auth-Token": token, "X-Auth-Account-ID": named})
        caller = await caller_of(request, accounts.sessions, token)
        assert caller.account.account_id == child.account_id
    for named in (root.account.account_id.hex, "x"):
        request = a_request({"X-Auth-Token": token, "X-Auth-Account-ID": named})
        with pytest.raises(TokenInvalid):
            await caller_of(request, accounts.sessions, token)


async def test_a_key_that_is_renewed_during_a_sign_in_gives_no_token_that_lasts(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = await a_root(accounts)
    account = await a_child(accounts, root, "child")
    key = await accounts.get_api_key(root, account.account_id)
    find = account_rows.find_facts_by_api_key

    async def find_and_renew(*requested: Any) -> AccountFacts | None:
        facts = await find(*requested)
        await accounts.renew_api_key(root, account.account_id)
        return facts

    monkeypatch.setattr(account_rows, "find_facts_by_api_key", find_and_renew)
    token, _ = await accounts.sessions.sign_in_with_api_key(key)
    with pytest.raises(TokenInvalid):
        await accounts.sessions.authenticate(token)
