"""Rows of the directory: accounts, their API keys, and tokens that were revoked."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.account import Account, AccountFacts, Claims
from service.domain.errors import AccountNotFound, Invalid, Problem, Rule
from service.domain.page import NameCursor
from service.domain.schema import Document
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.traces import traceparent

_SQL = load("accounts")
_UNIQUE_FIELDS = {"account_name_is_unique": "name", "account_realm_is_unique": "realm"}


class StoredKey(msgspec.Struct, frozen=True):
    """An API key as it is kept: what it is found by, and itself sealed."""

    lookup: bytes
    sealed: bytes


class DirectoryChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in the directory up to `moment`. Not `complete`: there was more than asked."""

    moment: datetime
    accounts: list[AccountFacts]
    deleted: list[UUID]
    revoked: list[UUID]
    users: list[tuple[UUID, int]]
    complete: bool


async def insert_root(
    connection: Connection, account_id: UUID, document: Document, key: StoredKey
) -> bool:
    """Makes the root account; false when there is one already."""
    status = await connection.execute(
        _SQL["insert_root"],
        account_id,
        document["name"],
        document["realm"],
        document,
        key.lookup,
        key.sealed,
    )
    return status.endswith("1")


async def insert_child(
    connection: Connection, account_id: UUID, parent_id: UUID, document: Document, key: StoredKey
) -> None:
    """Raises AccountNotFound without the parent, Invalid when name or realm is taken."""
    made = await _write(
        connection,
        "insert_child",
        account_id,
        parent_id,
        document["name"],
        document["realm"],
        document,
        key.lookup,
        key.sealed,
    )
    if made is None:
        raise AccountNotFound(parent_id.hex)


async def update_account(
    connection: Connection, before: Account, document: Document
) -> Account | None:
    """Replaces the document of an account as it was read; None when it was changed since.

    Raises Invalid when name or realm is taken.
    """
    row = await _write(
        connection,
        "update_account",
        before.account_id,
        before.revision,
        document["name"],
        document["realm"],
        document,
    )
    return None if row is None else _to_account(row)


async def name_and_realm_taken(
    connection: Connection, name: Any, realm: Any, but: UUID | None = None
) -> list[Problem]:
    """A problem for each of the two that another account than `but` has; only texts are asked."""
    (row,) = await connection.fetch(_SQL["name_and_realm_taken"], _text(name), _text(realm), but)
    return [
        Problem(field=field, rule=Rule.UNIQUE, value=value)
        for field, value in (("name", name), ("realm", realm))
        if row[field]
    ]


async def read_account(connection: Connection, account_id: UUID) -> Account | None:
    row = await connection.fetchrow(_SQL["read_account"], account_id)
    return None if row is None else _to_account(row)


async def list_descendants(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    deep: bool,
    descending: bool = False,
) -> list[Account]:
    """The accounts below one by (name, id) from `start` on: its children, or `deep` all of them."""
    name = ("list_descendants" if deep else "list_children") + ("_descending" if descending else "")
    first = (None, None) if descending else ("", UUID(int=0))
    bounds = (start.name, start.id) if start else first
    rows = await connection.fetch(_SQL[name], account_id, *bounds, limit)
    return [_to_account(row) for row in rows]


async def hold_account(connection: Connection, account_id: UUID) -> None:
    """Keeps an account from being deleted until the transaction ends. Raises AccountNotFound when
    it was: whoever lets something into an account asks, since what is known of it may be old."""
    if await connection.fetchval(_SQL["hold_account"], account_id) is None:
        raise AccountNotFound(account_id.hex)


async def lock_account(connection: Connection, account_id: UUID) -> Account | None:
    """The account, held for its deletion until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock_account"], account_id)
    return None if row is None else _to_account(row)


async def has_children(connection: Connection, account_id: UUID) -> bool:
    has: bool = await connection.fetchval(_SQL["has_children"], account_id)
    return has


async def delete_account(connection: Connection, account_id: UUID, timeout_s: float) -> None:
    """Deletes an account, which must be held, with boxes and greetings, and appends the event."""
    await connection.execute(_SQL["allow_long"], f"{timeout_s:.0f}s")
    for name, *more in (
        ("mark_account_deleted",),
        ("append_account_deleted", traceparent()),
        ("lock_boxes_of_account",),
        ("delete_boxes_of_account",),
        ("delete_greetings_of_account",),
    ):
        await connection.execute(_SQL[str(name)], account_id, *more, timeout=timeout_s + 1)


async def root_id(connection: Connection) -> UUID | None:
    identity: UUID | None = await connection.fetchval(_SQL["root_id"])
    return identity


async def account_facts(connection: Connection, account_id: UUID) -> AccountFacts | None:
    return _facts_of(await connection.fetchrow(_SQL["account_facts"], account_id))


async def facts_by_api_key(connection: Connection, lookup: bytes) -> AccountFacts | None:
    return _facts_of(await connection.fetchrow(_SQL["facts_by_api_key"], lookup))


async def facts_by_name(connection: Connection, name: str) -> AccountFacts | None:
    return _facts_of(await connection.fetchrow(_SQL["facts_by_name"], _text(name)))


async def facts_by_realm(connection: Connection, realm: str) -> AccountFacts | None:
    return _facts_of(await connection.fetchrow(_SQL["facts_by_realm"], _text(realm)))


async def sealed_api_key(connection: Connection, account_id: UUID) -> bytes | None:
    sealed: bytes | None = await connection.fetchval(_SQL["sealed_api_key"], account_id)
    return sealed


async def replace_api_key(
    connection: Connection, account_id: UUID, key: StoredKey
) -> AccountFacts | None:
    """The account as it is now, its epoch raised; None when there is none."""
    row = await connection.fetchrow(_SQL["replace_api_key"], account_id, key.lookup, key.sealed)
    return _facts_of(row)


async def directory_clock(connection: Connection) -> datetime:
    """The database's time, which dates every change of the directory."""
    moment: datetime = await connection.fetchval(_SQL["directory_clock"])
    return moment


async def directory_changes(
    connection: Connection, since: datetime, *, overlap: timedelta, limit: int
) -> DirectoryChanges:
    """What was changed after `since` less `overlap`, at most `limit` of each kind.

    A change is dated when its transaction begins and seen when it commits: the overlap must be
    longer than any such transaction, and what lies in it is told again each time.
    """
    moment = await directory_clock(connection)
    bounds = (since, limit, overlap)
    changed = await connection.fetch(_SQL["accounts_changed_since"], *bounds)
    revoked = await connection.fetch(_SQL["tokens_revoked_since"], *bounds)
    users = await connection.fetch(_SQL["user_epochs_changed_since"], *bounds)
    return DirectoryChanges(
        moment=moment,
        accounts=[_known(row) for row in changed if not row["deleted"]],
        deleted=[row["account_id"] for row in changed if row["deleted"]],
        revoked=[row["token_id"] for row in revoked],
        users=[(row["user_id"], row["auth_epoch"]) for row in users],
        complete=max(len(changed), len(revoked), len(users)) < limit,
    )


async def revoke_token(connection: Connection, claims: Claims) -> None:
    await connection.execute(_SQL["revoke_token"], claims.token_id, claims.expires_at)


async def is_revoked(connection: Connection, token_id: UUID) -> bool:
    revoked: bool = await connection.fetchval(_SQL["is_revoked"], token_id)
    return revoked


async def _write(connection: Connection, name: str, *values: Any) -> asyncpg.Record | None:
    try:
        return await connection.fetchrow(_SQL[name], *values)
    except asyncpg.UniqueViolationError as error:
        field = _UNIQUE_FIELDS.get(error.constraint_name or "")
        if field is None:
            raise
        raise Invalid.of(field, Rule.UNIQUE) from None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _to_account(row: asyncpg.Record) -> Account:
    document = row["document"]
    return Account(
        **_facts(row, document.get("max_message_count"), document.get("wire_profile")),
        timezone=document.get("timezone"),
        document=document,
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _facts_of(row: asyncpg.Record | None) -> AccountFacts | None:
    return None if row is None else _known(row)


def _known(row: asyncpg.Record) -> AccountFacts:
    return AccountFacts(
        **_facts(row, row["max_message_count"], row["wire_profile"]), timezone=row["timezone"]
    )


def _facts(row: asyncpg.Record, max_message_count: Any, wire_profile: Any) -> dict[str, Any]:
    return {
        "account_id": row["account_id"],
        "parent_id": row["parent_id"],
        "ancestors": tuple(row["ancestors"]),
        "name": row["name"],
        "realm": row["realm"],
        "max_message_count": max_message_count,
        "wire_profile": wire_profile,
        "auth_epoch": row["auth_epoch"],
        "revision": row["revision"],
    }
