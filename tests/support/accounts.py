"""Accounts for tests: a key ring, use cases over a test's database, a tree of accounts."""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from service.domain.account import Account, Caller
from service.postgres.pool import Database
from service.security import (
    CredentialProofs,
    KeyRing,
    SecretBox,
    Tokens,
    generate_key_ring,
    load_key_ring,
)
from service.usecases.account_cache import AccountCache
from service.usecases.accounts import Accounts
from service.usecases.sessions import Sessions
from service.usecases.sign_in_limits import SignInGuard, SignInLimits
from service.usecases.users import Users

POLL_S = 0.1


def a_key_ring() -> KeyRing:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        path.touch(0o600)
        path.write_bytes(generate_key_ring())
        return load_key_ring(path)


NO_LIMITS = SignInLimits(per_user=0, per_account=0, per_peer=0)


def accounts_over(
    database: Database, ring: KeyRing, *, limits: SignInLimits = NO_LIMITS, **directory: Any
) -> Accounts:
    """Use cases of a process that does not poll for changes; see `a_process`."""
    known, secrets, proofs = (
        AccountCache(database, **directory),
        SecretBox(ring),
        CredentialProofs(),
    )
    sessions = Sessions(
        database=database,
        account_cache=known,
        tokens=Tokens(ring, 3600),
        secrets=secrets,
        proofs=proofs,
        guard=SignInGuard(limits, proofs.limit, time.monotonic),
    )
    return Accounts(database=database, account_cache=known, sessions=sessions, secrets=secrets)


def users_beside(accounts: Accounts) -> Users:
    """User use cases of the same process."""
    return Users(
        database=accounts.database,
        account_cache=accounts.account_cache,
        secrets=accounts.secrets,
        proofs=accounts.sessions.proofs,
        guard=accounts.sessions.guard,
        audit=accounts.sessions.audit,
        clock=accounts.clock,
    )


@asynccontextmanager
async def a_process(
    database: Database, ring: KeyRing, *, poll_s: float = POLL_S, **directory: Any
) -> AsyncIterator[Accounts]:
    """Use cases of a process that polls for changes in short intervals."""
    accounts = accounts_over(database, ring, poll_s=poll_s, **directory)
    async with accounts.account_cache.poll_in_background():
        yield accounts


async def a_root(accounts: Accounts) -> Caller:
    await accounts.create_root("root", "root.example.com")
    return await accounts.sessions.get_operator()


async def a_child(accounts: Accounts, caller: Caller, name: str, **document: Any) -> Account:
    """Creates a child of the caller's account."""
    return await accounts.create_child(
        caller,
        caller.account.account_id,
        {"name": name, "realm": f"{name}.example.com", **document},
    )


async def signed_in(accounts: Accounts, caller: Caller, account: Account) -> str:
    """Returns a token for the account's API key."""
    key = await accounts.get_api_key(caller, account.account_id)
    token, _ = await accounts.sessions.sign_in_with_api_key(key)
    return token
