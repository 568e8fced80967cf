"""Accounts: tree, validation, sign-in, access."""

import asyncio
import unicodedata
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from service.domain.access import ADMIN_ACCESS
from service.domain.account import Caller, Method
from service.domain.errors import (
    AccountNotFound,
    CredentialsInvalid,
    Forbidden,
    Invalid,
    Rule,
    TokenInvalid,
)
from service.postgres.pool import Database
from service.security import SecretBox
from service.usecases.accounts import Accounts
from tests.support.accounts import a_child, a_key_ring, a_root, accounts_over, signed_in
from tests.support.database import until_blocked


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return accounts_over(database, a_key_ring())


async def problems(accounts: Accounts, caller: Caller, document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as refusal:
        await accounts.create_child(caller, caller.account.account_id, document)
    return {problem.field: problem.rule.value for problem in refusal.value.problems}


async def test_an_operator_needs_a_root_account(accounts: Accounts) -> None:
    with pytest.raises(AccountNotFound):
        await accounts.sessions.get_operator()


async def test_the_root_account_is_created_once(accounts: Accounts) -> None:
    first = await accounts.create_root("root", "root.example.com")
    again = await accounts.create_root("other", "other.example.com")
    assert again == first
    assert first.is_root
    assert first.ancestors == ()


async def test_processes_that_start_at_the_same_time_create_one_root(
    database: Database, inspector: asyncpg.Connection
) -> None:
    ring = a_key_ring()
    made = await asyncio.gather(
        *(accounts_over(database, ring).create_root("root", "root.example.com") for _ in range(8))
    )
    assert len({account.account_id for account in made}) == 1
    assert await inspector.fetchval("SELECT count(*) FROM accounts") == 1


async def test_the_ancestors_of_a_child_begin_with_the_root(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    grandchild = await a_child(accounts, Caller(child, ADMIN_ACCESS), "grandchild")
    assert child.parent_id == root.account.account_id
    assert grandchild.ancestors == (root.account.account_id, child.account_id)


async def test_an_account_keeps_unknown_keys_and_drops_private_ones(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(
        accounts, root, "child", timezone="Europe/Rome", max_message_count=5, pvt_x=1, _y=2, id="z"
    )
    read = await accounts.get(root, child.account_id)
    assert read == child
    assert read.document == {
        "name": "child",
        "realm": "child.example.com",
        "timezone": "Europe/Rome",
        "max_message_count": 5,
    }
    assert read.max_message_count == 5
    assert read.wire_profile is None


async def test_facts_carry_limit_and_profile(accounts: Accounts) -> None:
    root = await a_root(accounts)
    limits = {"max_message_count": 7, "wire_profile": "audian"}
    child = await a_child(accounts, root, "child", **limits)
    facts = await accounts.sessions.authorise(root, child.account_id)
    assert (facts.max_message_count, facts.wire_profile) == (7, "audian")
    assert facts.revision == child.revision


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, {"name": "required", "realm": "required"}),
        ({"name": None, "realm": None}, {"name": "required", "realm": "required"}),
        ({"name": 3000, "realm": ["x"]}, {"name": "type", "realm": "type"}),
        ({"name": "", "realm": "abc"}, {"name": "minLength", "realm": "minLength"}),
        ({"name": "n" * 129, "realm": "r" * 254}, {"name": "maxLength", "realm": "maxLength"}),
        ({"name": "a\0b", "realm": "a b.com"}, {"name": "wrong_format", "realm": "wrong_format"}),
        ({"name": "a", "realm": "a@b.com"}, {"realm": "wrong_format"}),
        ({"name": "a", "realm": "a\0b.com"}, {"realm": "wrong_format"}),
        ({"name": "a\u200bb", "realm": "b.com"}, {"name": "wrong_format"}),
        ({"name": "a\u2060", "realm": "b.com"}, {"name": "wrong_format"}),
        ({"name": "a\ufe0f", "realm": "b.com"}, {"name": "wrong_format"}),
        ({"name": "a\tb", "realm": "b.com"}, {"name": "wrong_format"}),
        ({"name": "a\u202eb", "realm": "b.com"}, {"name": "wrong_format"}),
        ({"name": "\uff52\uff4f\uff4f\uff54", "realm": "b.com"}, {"name": "unique"}),
        ({"name": "ROOT", "realm": "Root.Example.com"}, {"name": "unique", "realm": "unique"}),
        ({"name": "root"}, {"name": "unique", "realm": "required"}),
    ],
)
async def test_a_new_account_is_refused_with_all_problems(
    accounts: Accounts, document: dict[str, Any], expected: dict[str, str]
) -> None:
    assert await problems(accounts, await a_root(accounts), document) == expected


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("max_message_count", "many", "type"),
        ("max_message_count", True, "type"),
        ("max_message_count", 1.5, "type"),
        ("max_message_count", -1, "minimum"),
        ("max_message_count", 2**31, "maximum"),
        ("wire_profile", "", "minLength"),
        ("wire_profile", [], "type"),
    ],
)
async def test_a_limit_and_a_profile_must_be_valid(
    accounts: Accounts, field: str, value: Any, rule: str
) -> None:
    document = {"name": "child", "realm": "child.example.com", field: value}
    assert await problems(accounts, await a_root(accounts), document) == {field: rule}


_COPY_OF_ROOT = """
    INSERT INTO accounts
        (account_id, parent_id, ancestors, name, realm, document, api_key_lookup, api_key_sealed)
    SELECT uuidv7(), account_id, '{}', $1, $2, '{}', 'key', 'key' FROM accounts
"""


@pytest.mark.parametrize(
    ("name", "lookalike"),
    [
        ("Straße", "STRASSE"),
        ("Café", "Cafe\u0301"),
        ("\uff21cme", "acme"),
        ("Ofﬁce", "office"),
        ("Ｋｅｙ\u00a0Ｃｏ", "key co"),
    ],
)
async def test_names_that_look_the_same_are_the_same(
    accounts: Accounts, name: str, lookalike: str
) -> None:
    root = await a_root(accounts)
    parent_id = root.account.account_id
    made = await accounts.create_child(root, parent_id, {"name": name, "realm": "one.example"})
    assert made.name == unicodedata.normalize("NFKC", name)
    with pytest.raises(Invalid) as refused:
        await accounts.create_child(root, parent_id, {"name": lookalike, "realm": "two.example"})
    assert [(problem.field, problem.rule) for problem in refused.value.problems] == [
        ("name", Rule.UNIQUE)
    ]


@pytest.mark.parametrize(
    ("field", "name", "realm"),
    [("name", "Wanted", "other.example.com"), ("realm", "other", "WANTED.example.com")],
)
async def test_a_name_that_is_used_between_check_and_insert_is_a_problem_of_its_field(
    accounts: Accounts, inspector: asyncpg.Connection, field: str, name: str, realm: str
) -> None:
    root = await a_root(accounts)
    async with inspector.transaction():
        await inspector.execute(_COPY_OF_ROOT, name, realm)
        slower = asyncio.create_task(a_child(accounts, root, "wanted"))
        await until_blocked(inspector)
    with pytest.raises(Invalid) as refusal:
        await slower
    assert [(problem.field, problem.rule) for problem in refusal.value.problems] == [
        (field, Rule.UNIQUE)
    ]


async def test_an_api_key_can_be_read_and_signs_in(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    key = await accounts.get_api_key(root, child.account_id)
    assert await accounts.get_api_key(Caller(child, ADMIN_ACCESS), child.account_id) == key
    token, signed_in = await accounts.sessions.sign_in_with_api_key(key)
    caller = await accounts.sessions.authenticate(token)
    assert signed_in.account.account_id == caller.account.account_id == child.account_id
    assert caller.claims is not None
    assert caller.claims.method is Method.API_KEY


async def test_api_keys_are_encrypted_in_the_database(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    root = await a_root(accounts)
    key = await accounts.get_api_key(root, root.account.account_id)
    row = await inspector.fetchrow("SELECT api_key_lookup, api_key_sealed FROM accounts")
    assert row is not None
    for stored in row.values():
        assert key.encode() not in stored
        assert bytes.fromhex(key) not in stored
    other_ring = SecretBox(a_key_ring())
    assert other_ring.fingerprint("api_key", key) != row["api_key_lookup"]


@pytest.mark.parametrize("key", ["", "0" * 64, "x", "ü", "' OR true --"])
async def test_an_unknown_api_key_does_not_sign_in(accounts: Accounts, key: str) -> None:
    await a_root(accounts)
    with pytest.raises(CredentialsInvalid):
        await accounts.sessions.sign_in_with_api_key(key)


async def test_a_new_api_key_ends_the_old_one_and_all_tokens(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    old_key = await accounts.get_api_key(root, child.account_id)
    token = await signed_in(accounts, root, child)
    caller = await accounts.sessions.authenticate(token)

    new_key = await accounts.renew_api_key(caller, child.account_id)

    with pytest.raises(TokenInvalid):
        await accounts.sessions.authenticate(token)
    with pytest.raises(CredentialsInvalid):
        await accounts.sessions.sign_in_with_api_key(old_key)
    new_token, _ = await accounts.sessions.sign_in_with_api_key(new_key)
    assert (await accounts.sessions.authenticate(new_token)).account.account_id == child.account_id
    assert await accounts.get_api_key(root, child.account_id) == new_key


async def test_a_revoked_token_is_refused_at_once_and_others_are_not(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    token, other = [await signed_in(accounts, root, child) for _ in range(2)]
    caller = await accounts.sessions.authenticate(token)
    assert caller.claims is not None
    for _ in range(2):
        await accounts.sessions.revoke(caller.claims)
    with pytest.raises(TokenInvalid):
        await accounts.sessions.authenticate(token)
    assert (await accounts.sessions.authenticate(other)).account == caller.account


async def test_a_token_of_another_deployment_is_refused(
    accounts: Accounts, database: Database
) -> None:
    root = await a_root(accounts)
    stranger = accounts_over(database, a_key_ring())
    token = await stranger.sessions.issue_token(root, root.account.account_id, 60)
    with pytest.raises(TokenInvalid):
        await accounts.sessions.authenticate(token)


async def test_an_operator_token_has_the_requested_lifetime(accounts: Accounts) -> None:
    root = await a_root(accounts)
    caller = await accounts.sessions.authenticate(
        await accounts.sessions.issue_token(root, root.account.account_id, 86_400)
    )
    assert caller.claims is not None
    assert caller.claims.method is Method.OPERATOR
    assert caller.claims.expires_at - caller.claims.issued_at == timedelta(days=1)


async def test_own_account_and_descendants_are_reachable_and_nothing_else(
    accounts: Accounts,
) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    grandchild = await a_child(accounts, Caller(child, ADMIN_ACCESS), "grandchild")
    sibling = await a_child(accounts, root, "sibling")
    for reachable in (child, grandchild):
        result = await accounts.sessions.authorise(
            Caller(child, ADMIN_ACCESS), reachable.account_id
        )
        assert result.account_id == reachable.account_id
    for foreign in (root.account, sibling):
        with pytest.raises(Forbidden):
            await accounts.sessions.authorise(Caller(child, ADMIN_ACCESS), foreign.account_id)
    assert (await accounts.sessions.authorise(root, grandchild.account_id)).name == "grandchild"


async def test_an_unknown_account_is_forbidden_for_all_except_the_root(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    unknown = uuid4()
    with pytest.raises(AccountNotFound) as refusal:
        await accounts.sessions.authorise(root, unknown)
    assert refusal.value.cause == unknown.hex
    with pytest.raises(Forbidden):
        await accounts.sessions.authorise(Caller(child, ADMIN_ACCESS), unknown)


async def test_every_use_case_checks_access(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child, sibling = [await a_child(accounts, root, name) for name in ("child", "sibling")]
    caller, foreign = Caller(child, ADMIN_ACCESS), sibling.account_id
    document = {"name": "x", "realm": "x.example.com"}
    for attempt in (
        accounts.get(caller, foreign),
        accounts.get_api_key(caller, foreign),
        accounts.renew_api_key(caller, foreign),
        accounts.create_child(caller, foreign, document),
        accounts.sessions.issue_token(caller, foreign, 60),
    ):
        with pytest.raises(Forbidden):
            await attempt
