"""The cache of verified credentials: expiry, limits, invalidation."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from service.domain.account import AccountFacts
from service.domain.errors import CredentialsInvalid, Forbidden
from service.domain.user import CredentialMethod, digests_of
from service.postgres.pool import Database
from service.usecases.accounts import Accounts
from service.usecases.credential_cache import CredentialCache
from tests.support.accounts import a_child, a_key_ring, a_root, accounts_over, users_beside
from tests.support.waiting import wait_until

GIVEN = ("reseller", "pete", "secret words")
PEER = "192.0.2.1"


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return accounts_over(database, a_key_ring())


async def a_reseller(accounts: Accounts) -> AccountFacts:
    account = await a_child(accounts, await a_root(accounts), "reseller")
    await users_beside(accounts).create(account.facts, {"username": GIVEN[1], "password": GIVEN[2]})
    return account.facts


async def forget_credentials(inspector: asyncpg.Connection) -> None:
    """Deletes the credentials in Postgres, without a change that ends tokens."""
    await inspector.execute("DELETE FROM user_credentials")


async def test_verified_credentials_are_cached_until_they_expire(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    account = await a_reseller(accounts)
    credentials = CredentialCache(accounts.sessions)
    brief = CredentialCache(accounts.sessions, lifetime_s=0.001)
    first = await credentials.authenticate(*GIVEN, peer=PEER)
    assert (first.account.account_id, first.claims is not None) == (account.account_id, True)
    assert (await brief.authenticate(*GIVEN, peer=PEER)).account == first.account
    await forget_credentials(inspector)
    assert await credentials.authenticate(*GIVEN, peer=PEER) == first

    async def is_refused() -> bool:
        try:
            await brief.authenticate(*GIVEN, peer=PEER)
        except CredentialsInvalid:
            return True
        return False

    await wait_until(is_refused)


async def test_verified_hashes_are_cached(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    account_id = (await a_reseller(accounts)).account_id
    credentials = CredentialCache(accounts.sessions)
    md5, sha = (digests_of(*GIVEN[1:])[method] for method in CredentialMethod)
    first = await credentials.authenticate_by_hash(account_id, CredentialMethod.MD5, md5, peer=PEER)
    await forget_credentials(inspector)
    again = await credentials.authenticate_by_hash(account_id, CredentialMethod.MD5, md5, peer=PEER)
    assert again == first
    for other in (
        (uuid4(), CredentialMethod.MD5, md5),
        (account_id, CredentialMethod.SHA, sha),
        (account_id, CredentialMethod.SHA, md5),
        (account_id, CredentialMethod.MD5, md5[::-1]),
    ):
        with pytest.raises(CredentialsInvalid):
            await credentials.authenticate_by_hash(*other, peer=PEER)


async def test_refused_credentials_are_not_cached(accounts: Accounts) -> None:
    credentials = CredentialCache(accounts.sessions)
    with pytest.raises(CredentialsInvalid):
        await credentials.authenticate(*GIVEN, peer=PEER)
    await a_reseller(accounts)
    assert (await credentials.authenticate(*GIVEN, peer=PEER)).claims


async def test_each_part_of_the_credentials_is_part_of_the_key(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    await a_reseller(accounts)
    credentials = CredentialCache(accounts.sessions)
    assert (await credentials.authenticate(*GIVEN, peer=PEER)).claims
    await forget_credentials(inspector)
    account, username, password = GIVEN
    for other in (
        ("root", username, password),
        (account, "paul", password),
        (account, username, "Secret"),
        (account, f"{username}\0{password}", ""),
    ):
        with pytest.raises(CredentialsInvalid):
            await credentials.authenticate(*other, peer=PEER)
    assert (await credentials.authenticate(*GIVEN, peer=PEER)).claims


async def test_the_number_of_cached_credentials_is_limited(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    account = await a_reseller(accounts)
    second = {"username": "paul", "password": "secret words"}
    await users_beside(accounts).create(account, second)
    credentials = CredentialCache(accounts.sessions, max_entries=1)
    await credentials.authenticate(*GIVEN, peer=PEER)
    await credentials.authenticate("reseller", "paul", "secret words", peer=PEER)
    await forget_credentials(inspector)
    assert (await credentials.authenticate("reseller", "paul", "secret words", peer=PEER)).claims
    with pytest.raises(CredentialsInvalid):
        await credentials.authenticate(*GIVEN, peer=PEER)


async def test_a_cancelled_request_does_not_cancel_the_check_of_another(accounts: Accounts) -> None:
    await a_reseller(accounts)
    credentials = CredentialCache(accounts.sessions)
    first, second = (
        asyncio.create_task(credentials.authenticate(*GIVEN, peer=PEER)) for _ in range(2)
    )
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).claims is not None
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_account_has_access_to_its_descendants_only(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    other = await a_child(accounts, root, "other")
    credentials = CredentialCache(accounts.sessions)
    caller = await accounts.sessions.get_operator()
    for _ in range(2):
        assert (await credentials.find_descendant(caller, "CHILD")).account_id == child.account_id
    below = type(caller)(child.facts, caller.access)
    for name in ("child", "other", "root", "nobody", ""):
        with pytest.raises(Forbidden):
            await credentials.find_descendant(below, name)
    assert (await credentials.find_descendant(caller, "other")).account_id == other.account_id
