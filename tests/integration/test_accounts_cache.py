"""The account cache: cached entries need no database, and a change takes effect within a poll."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from service.domain.access import ADMIN_ACCESS
from service.domain.account import Caller
from service.domain.errors import AccountNotFound, DatabaseUnavailable, TokenInvalid
from service.embedded.servers import EmbeddedServers
from service.postgres.accounts import list_directory_changes
from service.postgres.pool import Database
from service.security import KeyRing
from service.usecases.accounts import Accounts
from tests.support.accounts import (
    a_child,
    a_key_ring,
    a_process,
    a_root,
    accounts_over,
    signed_in,
)
from tests.support.waiting import wait_until


@pytest.fixture
def ring() -> KeyRing:
    return a_key_ring()


@pytest.fixture
async def here(database: Database, ring: KeyRing) -> AsyncIterator[Accounts]:
    async with a_process(database, ring) as accounts:
        yield accounts


@pytest.fixture
async def there(database: Database, ring: KeyRing) -> AsyncIterator[Accounts]:
    """Another process over the same database and key ring."""
    async with a_process(database, ring) as accounts:
        yield accounts


async def until_refused(accounts: Accounts, token: str) -> None:
    async def is_refused() -> bool:
        try:
            await accounts.sessions.authenticate(token)
        except TokenInvalid:
            return True
        return False

    await wait_until(is_refused)


def warnings_in(logs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in logs if entry["log_level"] == "warning"]


@asynccontextmanager
async def refusing_server(port: int) -> AsyncIterator[Callable[[], int]]:
    """Closes every connection at once; yields the count of connections so far."""
    count = 0

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", port):
        yield lambda: count


async def without_postgres(
    servers: EmbeddedServers, attempt: Callable[[], Awaitable[None]]
) -> None:
    await servers.postgres.kill()
    try:
        await attempt()
    finally:
        await servers.postgres.start()


async def test_a_revocation_reaches_another_process_within_a_poll(
    here: Accounts, there: Accounts
) -> None:
    root = await a_root(here)
    child = await a_child(here, root, "child")
    token, other = [await signed_in(here, root, child) for _ in range(2)]
    caller = await there.sessions.authenticate(token)
    await there.sessions.authenticate(other)
    assert caller.claims is not None

    await here.sessions.revoke(caller.claims)

    await until_refused(there, token)
    await there.sessions.authenticate(other)


async def test_a_renewed_api_key_ends_tokens_in_another_process_within_a_poll(
    here: Accounts, there: Accounts
) -> None:
    root = await a_root(here)
    child = await a_child(here, root, "child")
    token = await signed_in(here, root, child)
    await there.sessions.authenticate(token)

    await here.renew_api_key(root, child.account_id)

    await until_refused(there, token)


async def test_a_token_newer_than_the_cached_account_works_at_once(
    here: Accounts, database: Database, ring: KeyRing
) -> None:
    root = await a_root(here)
    child = await a_child(here, root, "child")
    deaf = accounts_over(database, ring)
    old_token = await signed_in(here, root, child)
    await deaf.sessions.authenticate(old_token)
    key = await here.renew_api_key(root, child.account_id)
    token, _ = await here.sessions.sign_in_with_api_key(key)
    await deaf.sessions.authenticate(old_token)
    assert (await deaf.sessions.authenticate(token)).account.auth_epoch == child.auth_epoch + 1
    with pytest.raises(TokenInvalid):
        await deaf.sessions.authenticate(old_token)


async def test_an_account_created_by_another_process_is_found_at_once(
    here: Accounts, there: Accounts
) -> None:
    root = await a_root(here)
    with pytest.raises(AccountNotFound):
        await there.sessions.authorise(root, uuid4())
    child = await a_child(here, root, "child")
    assert (await there.sessions.authorise(root, child.account_id)).name == "child"


async def test_a_deleted_account_leaves_the_cache_within_a_poll(
    here: Accounts, inspector: asyncpg.Connection
) -> None:
    root = await a_root(here)
    child = await a_child(here, root, "child")
    token = await signed_in(here, root, child)
    await here.sessions.authenticate(token)

    await inspector.execute(
        "UPDATE accounts SET deleted_at = now(), modified_at = now() WHERE account_id = $1",
        child.account_id,
    )

    await until_refused(here, token)
    with pytest.raises(AccountNotFound):
        await here.sessions.authorise(root, child.account_id)


@pytest.mark.parametrize("shift", [timedelta(seconds=-40), timedelta(hours=1)])
async def test_changes_of_a_slow_transaction_or_a_wrong_clock_are_applied(
    here: Accounts, inspector: asyncpg.Connection, shift: timedelta
) -> None:
    root = await a_root(here)
    token = await signed_in(here, root, await a_child(here, root, "child"))
    await here.sessions.authenticate(token)
    await here.account_cache.refresh()

    await inspector.execute(
        "UPDATE accounts SET auth_epoch = auth_epoch + 1, revision = revision + 1,"
        " modified_at = now() + $1 WHERE parent_id IS NOT NULL",
        shift,
    )

    await until_refused(here, token)


async def test_changes_are_applied_after_the_database_clock_went_back(
    here: Accounts, inspector: asyncpg.Connection
) -> None:
    root = await a_root(here)
    future = await inspector.fetchval("SELECT now() + interval '1 day'")
    changes = await list_directory_changes(
        inspector, future, overlap=timedelta(seconds=60), limit=10
    )
    assert [account.account_id for account in changes.accounts] == [root.account.account_id]
    assert changes.moment < future


async def test_entries_cached_before_the_first_poll_are_read_again(
    database: Database, ring: KeyRing, inspector: asyncpg.Connection
) -> None:
    accounts = accounts_over(database, ring)
    root = await a_root(accounts)
    token = await accounts.sessions.issue_token(root, root.account.account_id, 60)
    await accounts.sessions.authenticate(token)
    await inspector.execute(
        "UPDATE accounts SET auth_epoch = 2, revision = 2, modified_at = now() - interval '1 hour'"
    )
    await accounts.sessions.authenticate(token)
    await accounts.account_cache.refresh()
    with pytest.raises(TokenInvalid):
        await accounts.sessions.authenticate(token)


async def test_more_changes_than_a_poll_reads_are_all_applied(
    here: Accounts, database: Database, ring: KeyRing
) -> None:
    root = await a_root(here)
    children = [await a_child(here, root, f"child{number}") for number in range(5)]
    tokens = [await signed_in(here, root, child) for child in children]
    async with a_process(database, ring, max_changes=2) as there:
        for token in tokens:
            await there.sessions.authenticate(token)
        for child in children:
            await here.renew_api_key(root, child.account_id)
        for token in tokens:
            await until_refused(there, token)


async def test_the_cache_is_bounded_and_evicted_entries_are_read_again(
    here: Accounts, database: Database, ring: KeyRing, inspector: asyncpg.Connection
) -> None:
    root = await a_root(here)
    children = [await a_child(here, root, f"child{number}") for number in range(4)]
    tokens = [await signed_in(here, root, child) for child in children]
    few_accounts = accounts_over(database, ring, max_accounts=2)
    few_tokens = accounts_over(database, ring, max_tokens=2)
    for token in tokens:
        await few_accounts.sessions.authenticate(token)
        caller = await few_tokens.sessions.authenticate(token)
        assert caller.claims is not None
        await here.sessions.revoke(caller.claims)
    await inspector.execute("UPDATE accounts SET auth_epoch = auth_epoch + 1")

    for process in (few_accounts, few_tokens):
        for cached in tokens[2:]:
            await process.sessions.authenticate(cached)
        for evicted in tokens[:2]:
            with pytest.raises(TokenInvalid):
                await process.sessions.authenticate(evicted)


async def test_an_older_revision_does_not_replace_a_newer_one(
    here: Accounts,
) -> None:
    root = await a_root(here)
    child = await a_child(here, root, "child")
    old = await here.sessions.authorise(root, child.account_id)
    await here.renew_api_key(root, child.account_id)
    assert here.account_cache.store(old).auth_epoch == old.auth_epoch + 1
    assert (await here.sessions.authorise(root, child.account_id)).auth_epoch == old.auth_epoch + 1


async def test_a_poll_that_read_before_a_box_had_a_rule_does_not_hide_the_rule(
    here: Accounts,
) -> None:
    root = await a_root(here)
    child = await a_child(here, root, "child")
    before = await here.sessions.authorise(root, child.account_id)
    here.account_cache.store(msgspec.structs.replace(before, has_vmbox_retention=True))
    assert here.account_cache.store(before).has_vmbox_retention


async def test_users_of_an_account_that_returns_from_another_deployment_are_read_again(
    here: Accounts, inspector: asyncpg.Connection
) -> None:
    # The first refresh empties the cache.
    await here.account_cache.refresh()
    root = await a_root(here)
    child, user_id = await a_child(here, root, "child"), uuid4()
    token = await here.sessions.authenticate(await signed_in(here, root, child))
    assert token.claims is not None
    claims = msgspec.structs.replace(token.claims, owner_id=user_id, user_epoch=1)
    # The password was changed in the other deployment, and its rows were copied back.
    changed = "INSERT INTO user_epochs VALUES ($1, $2, $3, now() - interval '1 hour')"
    await inspector.execute(changed, child.account_id, user_id, 1)
    cache = here.account_cache
    await cache.refresh()
    assert await cache.get_user_epoch(claims) == 1
    for state in ("moved", None):
        await inspector.execute(
            "UPDATE accounts SET move_state = $2, revision = revision + 1, modified_at = now() "
            "WHERE account_id = $1",
            child.account_id,
            state,
        )
        await inspector.execute("UPDATE user_epochs SET auth_epoch = 2")
        await cache.refresh()
    assert await cache.get_user_epoch(claims) == 2


async def test_during_an_outage_cached_callers_continue_and_others_get_an_error(
    here: Accounts, servers: EmbeddedServers
) -> None:
    # The first refresh empties the cache.
    await here.account_cache.refresh()
    root = await a_root(here)
    child, unseen = [await a_child(here, root, name) for name in ("child", "unseen")]
    token, unseen_token = [await signed_in(here, root, account) for account in (child, child)]
    root_token = await here.sessions.issue_token(root, root.account.account_id, 60)
    for known in (token, root_token):
        await here.sessions.authenticate(known)
    await here.sessions.authorise(root, child.account_id)

    async def attempt() -> None:
        for _ in range(2):
            caller = await here.sessions.authenticate(token)
            assert (await here.sessions.authorise(caller, child.account_id)).name == "child"
            assert (await here.sessions.authenticate(root_token)).account.is_root
            for refused in (
                here.sessions.authenticate(unseen_token),
                here.sessions.authorise(root, unseen.account_id),
                here.sessions.authorise(Caller(child, ADMIN_ACCESS), uuid4()),
                here.sessions.sign_in_with_api_key("0" * 64),
                here.get(root, child.account_id),
            ):
                with pytest.raises(DatabaseUnavailable):
                    await refused

    await without_postgres(servers, attempt)
    assert (await here.sessions.authenticate(unseen_token)).account.account_id == child.account_id


async def test_polling_survives_an_outage_and_logs_it_once(
    here: Accounts, database: Database, ring: KeyRing, servers: EmbeddedServers
) -> None:
    root = await a_root(here)
    child = await a_child(here, root, "child")
    token = await signed_in(here, root, child)
    port = servers.postgres.ports.postgres

    async def polls_fail() -> None:
        async with refusing_server(port) as connections:
            await wait_until(lambda: connections() >= 10)

    with capture_logs() as logs:
        async with a_process(database, ring, poll_s=0.05) as there:
            await there.sessions.authenticate(token)
            await without_postgres(servers, polls_fail)
            await wait_until(
                lambda: "account cache refresh recovered" in [e["event"] for e in logs]
            )
            await here.renew_api_key(root, child.account_id)
            await until_refused(there, token)
    warnings = warnings_in(logs)
    assert len(warnings) == 2, "one for each process that lost Postgres"
    assert not any("exc_info" in entry and entry["exc_info"] for entry in warnings)


async def test_a_process_starts_during_an_outage(
    database: Database, ring: KeyRing, servers: EmbeddedServers
) -> None:
    root = await a_root(accounts_over(database, ring))
    await servers.postgres.kill()
    try:
        with capture_logs() as logs:
            async with a_process(database, ring) as late:
                await wait_until(lambda: bool(warnings_in(logs)))
                await servers.postgres.start()
                assert (await late.sessions.authorise(root, root.account.account_id)).is_root
                token = await late.sessions.issue_token(root, root.account.account_id, 60)
                await late.sessions.authenticate(token)
                await late.renew_api_key(root, root.account.account_id)
                await until_refused(late, token)
    finally:
        if not servers.postgres.alive:
            await servers.postgres.start()
