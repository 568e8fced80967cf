"""Deletion of accounts: mailboxes, events, races."""

import asyncio
from typing import cast

import asyncpg
import pytest

from service.audio.store import AudioStore
from service.domain.access import ADMIN_ACCESS
from service.domain.account import AccountFacts, Caller
from service.domain.errors import (
    AccountHasChildren,
    AccountNotFound,
    EditConflict,
    VmboxNotFound,
)
from service.domain.events import NO_VMBOX, AccountDeleted, EventType, decode_data
from service.postgres.pool import Database
from service.postgres.vmboxes import get_vmbox
from service.security import SecretBox
from service.usecases.accounts import Accounts
from service.usecases.greetings import Greetings
from service.usecases.uploads import Uploads
from service.usecases.vmboxes import Vmboxes
from tests.support.accounts import a_child, a_key_ring, a_process, a_root, accounts_over
from tests.support.builders import NOW, a_vmbox, stored
from tests.support.waiting import wait_until


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return accounts_over(database, a_key_ring())


def contents_of(database: Database) -> tuple[Vmboxes, Greetings]:
    """Fills an account. No greeting here has audio, so there is no store."""
    boxes = Vmboxes(database, SecretBox(a_key_ring()), lambda: NOW)
    return boxes, Greetings(database, cast(AudioStore, None), lambda: NOW, Uploads(1, 1, 1))


async def test_an_account_is_deleted_with_its_mailboxes_and_one_event(
    accounts: Accounts, database: Database, inspector: asyncpg.Connection
) -> None:
    root = await a_root(accounts)
    child, spared = [await a_child(accounts, root, name) for name in ("child", "spared")]
    async with database.connection() as connection:
        boxes = [await a_vmbox(connection, child.account_id) for _ in range(3)]
        other = await a_vmbox(connection, spared.account_id)
        await stored(connection, boxes[0])

    assert await accounts.delete(root, child.account_id) == child

    async with database.connection() as connection:
        for box in boxes:
            with pytest.raises(VmboxNotFound):
                await get_vmbox(connection, child.account_id, box.vmbox_id)
            with pytest.raises(VmboxNotFound):
                await stored(connection, box)
        await stored(connection, other)
    waiting = "SELECT count(*) FROM vmbox_counts WHERE deleted_at IS NOT NULL AND new_count = 0"
    assert await inspector.fetchval(waiting) == 3
    assert await inspector.fetchval("SELECT count(*) FROM vmbox_numbers") == 1
    events = await inspector.fetch(
        "SELECT vmbox_id, sequence, data::text FROM outbox WHERE type = 'account.deleted'"
    )
    assert [(row["vmbox_id"], row["sequence"]) for row in events] == [(NO_VMBOX, 1)]
    actual = decode_data(EventType.ACCOUNT_DELETED, events[0]["data"].encode())
    assert actual == AccountDeleted(account_id=child.account_id.hex, epoch=1, sequence=1)
    with pytest.raises(AccountNotFound):
        await accounts.delete(root, child.account_id)


async def test_a_deletion_and_a_new_child_are_serialized(accounts: Accounts) -> None:
    root = await a_root(accounts)
    for number in range(6):
        parent = await a_child(accounts, root, f"parent{number}")
        made, deleted = await asyncio.gather(
            a_child(accounts, Caller(parent, ADMIN_ACCESS), f"below{number}"),
            accounts.delete(root, parent.account_id),
            return_exceptions=True,
        )
        if isinstance(made, AccountFacts):
            assert isinstance(deleted, AccountHasChildren)
            await accounts.delete(root, made.account_id)
            await accounts.delete(root, parent.account_id)
        else:
            assert isinstance(made, AccountNotFound)
            assert isinstance(deleted, AccountFacts)


async def test_nothing_is_created_in_an_account_that_another_process_has_deleted(
    accounts: Accounts, database: Database
) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    await accounts.delete(root, child.account_id)
    boxes, greetings = contents_of(database)
    with pytest.raises(AccountNotFound):
        await boxes.create(child, {"name": "Late", "mailbox": "100"})
    with pytest.raises(AccountNotFound):
        await boxes.create_numbered(child, {"name": "Late"})
    with pytest.raises(AccountNotFound):
        await greetings.create(child, {"name": "Late"}, None)


async def test_nothing_created_during_a_deletion_remains(
    accounts: Accounts, database: Database, inspector: asyncpg.Connection
) -> None:
    root = await a_root(accounts)
    boxes, greetings = contents_of(database)
    for number in range(6):
        child = await a_child(accounts, root, f"child{number}")
        outcomes = await asyncio.gather(
            *(boxes.create(child, {"name": "Box", "mailbox": str(n)}) for n in range(4)),
            accounts.delete(root, child.account_id),
            *(greetings.create(child, {"name": "Away"}, None) for _ in range(4)),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert {type(failure) for failure in failures} <= {AccountNotFound}
    assert await inspector.fetchval("SELECT count(*) FROM media") == 0
    assert await inspector.fetchval("SELECT count(*) FROM vmboxes WHERE deleted_at IS NULL") == 0


async def test_one_of_many_concurrent_deletions_succeeds(
    accounts: Accounts, inspector: asyncpg.Connection
) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    outcomes = await asyncio.gather(
        *(accounts.delete(root, child.account_id) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, AccountFacts) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AccountNotFound) for outcome in outcomes) == 4
    assert await inspector.fetchval("SELECT count(*) FROM outbox") == 1


async def test_concurrent_changes_are_all_kept(accounts: Accounts) -> None:
    root = await a_root(accounts)
    child = await a_child(accounts, root, "child")
    outcomes = await asyncio.gather(
        *(accounts.patch(root, child.account_id, {f"key{n}": n}) for n in range(6)),
        return_exceptions=True,
    )
    kept = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, EditConflict)]
    document = (await accounts.get(root, child.account_id)).document
    assert [n for n in range(6) if f"key{n}" in document] == kept


async def test_another_process_sees_a_changed_and_a_deleted_account(
    database: Database,
) -> None:
    ring = a_key_ring()
    async with a_process(database, ring) as here, a_process(database, ring) as there:
        root = await a_root(here)
        child = await a_child(here, root, "child")
        assert (await there.sessions.authorise(root, child.account_id)).max_message_count is None
        await here.patch(root, child.account_id, {"max_message_count": 7})
        assert (await here.sessions.authorise(root, child.account_id)).max_message_count == 7

        async def is_changed() -> bool:
            account = await there.sessions.authorise(root, child.account_id)
            return account.max_message_count == 7

        async def is_deleted() -> bool:
            try:
                await there.sessions.authorise(root, child.account_id)
            except AccountNotFound:
                return True
            return False

        await wait_until(is_changed)
        await here.delete(root, child.account_id)
        await wait_until(is_deleted)
