"""Rows of the directory: accounts, their API keys, and tokens that were revoked."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.account import Account, AccountFacts, Claims, NewAccount, WireProfile
from service.domain.errors import AccountNotFound, Invalid, Problem, Rule
from service.postgres.pool import Connection
from service.postgres.sql import load

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
    complete: bool


async def insert_root(
    connection: Connection, account_id: UUID, account: NewAccount, key: StoredKey
) -> bool:
    """Makes the root account; false when there is one already."""
    status = await connection.execute(
        _SQL["insert_root"],
        account_id,
        account.name,
        account.realm,
        account.document,
        key.lookup,
        key.sealed,
    )
    return status.endswith("1")


async def insert_child(
    connection: Connection, account_id: UUID, parent_id: UUID, account: NewAccount, key: StoredKey
) -> None:
    """Raises AccountNotFound without the parent, Invalid when name or realm is taken."""
    try:
        made = await connection.fetchval(
            _SQL["insert_child"],
            account_id,
            parent_id,
            account.name,
            account.realm,
            account.document,
            key.lookup,
            key.sealed,
        )
    except asyncpg.UniqueViolationError as error:
        field = _UNIQUE_FIELDS.get(error.constraint_name or "")
        if field is None:
            raise
        raise Invalid.one(field, Rule.UNIQUE) from None
    if made is None:
        raise AccountNotFound(parent_id.hex)


async def name_and_realm_taken(connection: Connection, name: Any, realm: Any) -> list[Problem]:
    """A problem for each of the two that another account has; what is no text is not asked for."""
    (row,) = await connection.fetch(_SQL["name_and_realm_taken"], _text(name), _text(realm))
    return [
        Problem(field=field, rule=Rule.UNIQUE, value=value)
        for field, value in (("name", name), ("realm", realm))
        if row[field]
    ]


async def read_account(connection: Connection, account_id: UUID) -> Account | None:
    row = await connection.fetchrow(_SQL["read_account"], account_id)
    if row is None:
        return None
    document = row["document"]
    return Account(
        **_facts(row, document.get("max_message_count"), document.get("wire_profile")),
        timezone=document.get("timezone"),
        document=document,
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


async def root_id(connection: Connection) -> UUID | None:
    identity: UUID | None = await connection.fetchval(_SQL["root_id"])
    return identity


async def account_facts(connection: Connection, account_id: UUID) -> AccountFacts | None:
    return _facts_of(await connection.fetchrow(_SQL["account_facts"], account_id))


async def facts_by_api_key(connection: Connection, lookup: bytes) -> AccountFacts | None:
    return _facts_of(await connection.fetchrow(_SQL["facts_by_api_key"], lookup))


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
    return DirectoryChanges(
        moment=moment,
        accounts=[_known(row) for row in changed if not row["deleted"]],
        deleted=[row["account_id"] for row in changed if row["deleted"]],
        revoked=[row["token_id"] for row in revoked],
        complete=len(changed) < limit and len(revoked) < limit,
    )


async def revoke_token(connection: Connection, claims: Claims) -> None:
    await connection.execute(_SQL["revoke_token"], claims.token_id, claims.expires_at)


async def is_revoked(connection: Connection, token_id: UUID) -> bool:
    revoked: bool = await connection.fetchval(_SQL["is_revoked"], token_id)
    return revoked


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


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
        "wire_profile": WireProfile(wire_profile or WireProfile.KAZOO),
        "auth_epoch": row["auth_epoch"],
        "revision": row["revision"],
    }
