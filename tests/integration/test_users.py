"""Users: stored credentials and concurrent changes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from service.domain.access import ADMIN_ACCESS
from service.domain.account import Caller
from service.domain.errors import (
    AccountNotFound,
    CredentialsInvalid,
    Invalid,
    TokenInvalid,
    UserNotFound,
)
from service.domain.user import CredentialMethod, Credentials, User, digests_of
from service.postgres.pool import Database
from service.usecases.accounts import Accounts
from tests.support.accounts import (
    a_child,
    a_key_ring,
    a_process,
    a_root,
    accounts_over,
    users_beside,
)
from tests.support.waiting import wait_until

PASSWORD = "a very secret word"
PEER = "192.0.2.1"


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return accounts_over(database, a_key_ring())


def credentials_of(caller: Caller, password: str = PASSWORD, name: str = "Ann") -> Credentials:
    digest = digests_of(name, password)[CredentialMethod.SHA]
    return Credentials(method=CredentialMethod.SHA, digest=digest, realm=caller.account.realm)


async def a_caller(accounts: Accounts, name: str = "child") -> Caller:
    return Caller(await a_child(accounts, await a_root(accounts), name), ADMIN_ACCESS)


def an_ann(**more: Any) -> dict[str, Any]:
    return {"username": "Ann", "password": PASSWORD, **more}


async def test_the_database_contains_no_usable_credentials(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    caller = await a_caller(accounts)
    await users_beside(accounts).create(caller.account, an_ann())
    stored = ""
    for table in ("users", "user_credentials", "user_epochs", "outbox"):
        stored += str([tuple(row) for row in await inspector.fetch(f"TABLE {table}")])
    assert "Ann" in stored
    assert stored.count("$argon2id$v=19$m=19456,t=2,p=1$") == 2
    for digest in digests_of("Ann", PASSWORD).values():
        assert digest not in stored
        assert str(bytes.fromhex(digest)) not in stored
    assert PASSWORD not in stored


async def test_the_same_name_and_password_in_two_accounts_are_two_users(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    users = users_beside(accounts)
    first = await a_caller(accounts, "one")
    two = await a_caller(accounts, "two")
    made = [await users.create(caller.account, an_ann()) for caller in (first, two)]
    for caller, user in zip((first, two), made, strict=True):
        _, signed_in = await accounts.sessions.sign_in_as_user(credentials_of(caller), peer=PEER)
        assert signed_in.claims is not None
        assert signed_in.claims.owner_id == user.user_id
        assert signed_in.account.account_id == caller.account.account_id
    assert await inspector.fetchval("SELECT count(*) FROM user_credentials") == 4


async def test_one_of_many_concurrent_users_gets_a_name(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    users, caller = users_beside(accounts), await a_caller(accounts)
    names = ("ann", "Ann", "ANN", "aNn")
    made = await asyncio.gather(
        *(users.create(caller.account, an_ann(username=name)) for name in names),
        return_exceptions=True,
    )
    refused = [outcome for outcome in made if isinstance(outcome, Invalid)]
    assert len(refused) == len(names) - 1
    assert {(refusal.problems[0].field, refusal.problems[0].rule.value) for refusal in refused} == {
        ("username", "unique")
    }
    assert await inspector.fetchval("SELECT count(*) FROM user_credentials") == 2


@pytest.mark.long
async def test_one_of_many_concurrent_passwords_signs_in(accounts: Accounts) -> None:
    users, caller = users_beside(accounts), await a_caller(accounts)
    user = await users.create(caller.account, an_ann())
    passwords = [f"password {number}" for number in range(5)]
    await asyncio.gather(
        *(users.patch(caller.account, user.user_id, {"password": word}) for word in passwords)
    )
    works = 0
    for word in (PASSWORD, *passwords):
        try:
            token, _ = await accounts.sessions.sign_in_as_user(
                credentials_of(caller, word), peer=PEER
            )
        except CredentialsInvalid:
            continue
        works += 1
        await accounts.sessions.authenticate(token)
    assert works == 1


async def test_removing_a_password_ends_tokens_and_sign_in(accounts: Accounts) -> None:
    users, caller = users_beside(accounts), await a_caller(accounts)
    user = await users.create(caller.account, an_ann())
    token, _ = await accounts.sessions.sign_in_as_user(credentials_of(caller), peer=PEER)
    kept = await users.patch(caller.account, user.user_id, {"first_name": "Ann"})
    await accounts.sessions.authenticate(token)
    assert kept.has_password
    await users.patch(caller.account, user.user_id, {"password": None})
    with pytest.raises(TokenInvalid):
        await accounts.sessions.authenticate(token)
    with pytest.raises(CredentialsInvalid):
        await accounts.sessions.sign_in_as_user(credentials_of(caller), peer=PEER)


async def test_another_process_sees_a_changed_password_and_a_deleted_user(
    database: Database,
) -> None:
    ring = a_key_ring()
    async with a_process(database, ring) as here, a_process(database, ring) as there:
        users, caller = users_beside(here), await a_caller(here)
        user = await users.create(caller.account, an_ann())
        ends: list[Callable[[], Awaitable[User]]] = [
            lambda: users.patch(caller.account, user.user_id, {"password": PASSWORD}),
            lambda: users.delete(caller.account, user.user_id),
        ]
        for end in ends:
            token, _ = await here.sessions.sign_in_as_user(credentials_of(caller), peer=PEER)
            # Newer than what the other process knows, so it looks.
            await there.sessions.authenticate(token)
            await end()
            with pytest.raises(TokenInvalid):
                await here.sessions.authenticate(token)
            await until_refused(there, token)


async def until_refused(accounts: Accounts, token: str) -> None:
    async def is_refused() -> bool:
        try:
            await accounts.sessions.authenticate(token)
        except TokenInvalid:
            return True
        return False

    await wait_until(is_refused)


async def test_no_user_is_created_in_an_account_that_another_process_has_deleted(
    accounts: Accounts, database: Database, inspector: asyncpg.Connection
) -> None:
    caller = await a_caller(accounts)
    elsewhere = users_beside(accounts_over(database, a_key_ring()))
    user = await elsewhere.create(caller.account, an_ann())
    await accounts.delete(caller, caller.account.account_id)
    with pytest.raises(AccountNotFound):
        await elsewhere.create(caller.account, an_ann())
    with pytest.raises(UserNotFound):
        await elsewhere.patch(caller.account, user.user_id, {"password": "long enough"})
    for table in ("users", "user_credentials", "user_epochs"):
        assert await inspector.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
