"""Directory: accounts, API keys and revoked tokens. One function per statement of accounts.sql."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.account import Account, AccountFacts, Claims
from service.domain.audit import Action
from service.domain.errors import AccountNotFound, Problem, Rule
from service.domain.move import MoveState
from service.domain.page import NameCursor
from service.domain.recording import MAX_LINK_LIFETIME
from service.domain.retention import RetentionRule, rule_of
from service.domain.schema import Document
from service.postgres.api_keys import list_revoked_api_keys
from service.postgres.audit import insert_change
from service.postgres.pool import Connection
from service.postgres.sql import load, page_start
from service.postgres.unique import report_taken
from service.traces import traceparent

_SQL = load("accounts")
_UNIQUE_FIELDS = {"account_name_is_unique": "name", "account_realm_is_unique": "realm"}


class StoredKey(msgspec.Struct, frozen=True):
    """API key to be stored: the keyed hash for the look-up, and the encrypted key."""

    lookup: bytes
    sealed: bytes


class DirectoryChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of the directory up to `moment`. `complete` is False when the limit cut the list."""

    moment: datetime
    accounts: list[AccountFacts]
    deleted: list[UUID]
    revoked: list[UUID]
    users: list[tuple[UUID, int]]
    revoked_keys: Sequence[UUID]
    complete: bool


async def get_stored_bytes(connection: Connection, account_id: UUID) -> int:
    """Returns the bytes of all messages and greetings of an account."""
    stored: int = await _SQL["get_stored_bytes"].fetchval(connection, account_id=account_id)
    return stored


async def insert_root(
    connection: Connection, account_id: UUID, document: Document, key: StoredKey
) -> bool:
    """Creates the root account. Returns False when it exists."""
    inserted = await _SQL["insert_root"].execute(
        connection, account_id=account_id, **_document_values(document), **_key_values(key)
    )
    if inserted == 1:
        await insert_change(connection, account_id, Action.ACCOUNT_CREATED, account_id)
    return inserted == 1


async def insert_child(
    connection: Connection, account_id: UUID, parent_id: UUID, document: Document, key: StoredKey
) -> None:
    """Creates an account. Raises AccountNotFound without the parent, Invalid for a taken name."""
    with report_taken(_UNIQUE_FIELDS):
        created_id = await _SQL["insert_child"].fetchrow(
            connection,
            account_id=account_id,
            parent_id=parent_id,
            **_document_values(document),
            **_key_values(key),
        )
    if created_id is None:
        raise AccountNotFound(parent_id.hex)
    await insert_change(connection, parent_id, Action.ACCOUNT_CREATED, account_id)


async def update_account(
    connection: Connection, before: Account, document: Document
) -> Account | None:
    """Replaces the document of an account. Returns None when `before` is no longer its revision.

    Raises Invalid when name or realm is taken.
    """
    with report_taken(_UNIQUE_FIELDS):
        row = await _SQL["update_account"].fetchrow(
            connection,
            account_id=before.account_id,
            revision=before.revision,
            **_document_values(document),
        )
    if row is None:
        return None
    await insert_change(connection, before.account_id, Action.ACCOUNT_UPDATED)
    return to_account(row)


async def find_name_and_realm_conflicts(
    connection: Connection, name: Any, realm: Any, except_id: UUID | None = None
) -> list[Problem]:
    """Returns a problem for a name or realm of another account. Ignores the account `except_id`."""
    (row,) = await _SQL["find_name_and_realm_conflicts"].fetch(
        connection,
        name=_valid_string_or_none(name),
        realm=_valid_string_or_none(realm),
        except_account_id=except_id,
    )
    return [
        Problem(field=field, rule=Rule.UNIQUE, value=value)
        for field, value in (("name", name), ("realm", realm))
        if row[field]
    ]


async def read_account(connection: Connection, account_id: UUID) -> Account | None:
    """Returns an account, or None."""
    row = await _SQL["read_account"].fetchrow(connection, account_id=account_id)
    return None if row is None else to_account(row)


async def list_descendants(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    deep: bool,
    descending: bool = False,
) -> list[Account]:
    """Returns children by (name, id) from `start` on. With `deep`, returns all descendants."""
    name = ("list_descendants" if deep else "list_children") + ("_descending" if descending else "")
    rows = await _SQL[name].fetch(
        connection, account_id=account_id, **page_start(start, descending), limit=limit
    )
    return [to_account(row) for row in rows]


async def lock_account_for_share(connection: Connection, account_id: UUID) -> None:
    """Prevents the deletion of an account until the transaction ends. Raises AccountNotFound.

    Every transaction that adds something to an account calls it, because the cache may be old.
    """
    locked_id = await _SQL["lock_account_for_share"].fetchval(connection, account_id=account_id)
    if locked_id is None:
        raise AccountNotFound(account_id.hex)


async def lock_account_for_update(connection: Connection, account_id: UUID) -> Account | None:
    """Locks an account before its deletion, until the transaction ends."""
    row = await _SQL["lock_account_for_update"].fetchrow(connection, account_id=account_id)
    return None if row is None else to_account(row)


async def has_children(connection: Connection, account_id: UUID) -> bool:
    """Returns True when an account has children."""
    has_any: bool = await _SQL["has_children"].fetchval(connection, account_id=account_id)
    return has_any


async def delete_account(connection: Connection, account_id: UUID, timeout_s: float) -> None:
    """Deletes a locked account with its boxes and greetings, and appends the event."""
    await _SQL["set_statement_timeout"].execute(connection, duration=f"{timeout_s:.0f}s")
    options: dict[str, Any] = {"account_id": account_id, "timeout_s": timeout_s + 1}
    await _SQL["mark_account_deleted"].execute(connection, **options)
    await _SQL["append_account_deleted"].execute(connection, **options, traceparent=traceparent())
    await _SQL["lock_boxes_of_account"].execute(connection, **options)
    await _SQL["delete_boxes_of_account"].execute(connection, **options)
    await _SQL["delete_greetings_of_account"].execute(connection, **options)


async def get_root_id(connection: Connection) -> UUID | None:
    """Returns the id of the root account, or None before it is created."""
    root_id: UUID | None = await _SQL["get_root_id"].fetchval(connection)
    return root_id


async def get_account_facts(connection: Connection, account_id: UUID) -> AccountFacts | None:
    """Returns the facts of an account, or None."""
    row = await _SQL["get_account_facts"].fetchrow(connection, account_id=account_id)
    return _facts_or_none(row)


async def find_facts_by_api_key(connection: Connection, lookup: bytes) -> AccountFacts | None:
    """Returns the account of an API key, given its keyed hash, or None."""
    row = await _SQL["find_facts_by_api_key"].fetchrow(connection, api_key_lookup=lookup)
    return _facts_or_none(row)


async def find_facts_by_name(connection: Connection, name: str) -> AccountFacts | None:
    """Returns the account of a name, or None."""
    row = await _SQL["find_facts_by_name"].fetchrow(connection, name=_valid_string_or_none(name))
    return _facts_or_none(row)


async def find_facts_by_realm(connection: Connection, realm: str) -> AccountFacts | None:
    """Returns the account of a realm, or None."""
    row = await _SQL["find_facts_by_realm"].fetchrow(connection, realm=_valid_string_or_none(realm))
    return _facts_or_none(row)


async def get_sealed_api_key(connection: Connection, account_id: UUID) -> bytes | None:
    """Returns the encrypted API key of an account, or None."""
    sealed: bytes | None = await _SQL["get_sealed_api_key"].fetchval(
        connection, account_id=account_id
    )
    return sealed


async def replace_api_key(
    connection: Connection, account_id: UUID, key: StoredKey
) -> AccountFacts | None:
    """Replaces the API key and raises the epoch of an account. Returns None without the account."""
    row = await _SQL["replace_api_key"].fetchrow(
        connection, account_id=account_id, **_key_values(key)
    )
    if row is not None:
        await insert_change(connection, account_id, Action.API_KEY_RENEWED)
    return _facts_or_none(row)


async def get_directory_time(connection: Connection) -> datetime:
    """Returns the time of the database, the clock for all changes of the directory."""
    moment: datetime = await _SQL["get_directory_time"].fetchval(connection)
    return moment


async def list_directory_changes(
    connection: Connection, since: datetime, *, overlap: timedelta, limit: int
) -> DirectoryChanges:
    """Returns the changes after `since` minus `overlap`, at most `limit` of each kind.

    A change has the start time of its transaction and is visible after the commit. The overlap must
    therefore exceed the longest such transaction. Changes within it are returned every time.
    """
    moment = await get_directory_time(connection)
    bounds: dict[str, Any] = {"since": since, "limit": limit, "overlap": overlap}
    changed = await _SQL["list_changed_accounts"].fetch(connection, **bounds)
    revoked = await _SQL["list_revoked_tokens"].fetch(connection, **bounds)
    users = await _SQL["list_changed_user_epochs"].fetch(connection, **bounds)
    keys = await list_revoked_api_keys(connection, **bounds)
    return DirectoryChanges(
        moment=moment,
        accounts=[to_facts(row) for row in changed if not row["deleted"]],
        deleted=[row["account_id"] for row in changed if row["deleted"]],
        revoked=[row["token_id"] for row in revoked],
        users=[(row["user_id"], row["auth_epoch"]) for row in users],
        revoked_keys=keys,
        complete=max(map(len, (changed, revoked, users, keys))) < limit,
    )


async def revoke_token(connection: Connection, claims: Claims) -> None:
    """Revokes a token until it and all links that it has signed have expired."""
    await _SQL["revoke_token"].execute(
        connection,
        token_id=claims.token_id,
        expires_at=claims.expires_at,
        link_lifetime=MAX_LINK_LIFETIME,
    )
    await insert_change(connection, claims.account_id, Action.TOKEN_REVOKED, claims.token_id)


async def is_revoked(connection: Connection, token_id: UUID) -> bool:
    """Returns True when a token was revoked."""
    revoked: bool = await _SQL["is_revoked"].fetchval(connection, token_id=token_id)
    return revoked


def _document_values(document: Document) -> dict[str, Any]:
    return {"name": document["name"], "realm": document["realm"], "document": document}


def _key_values(key: StoredKey) -> dict[str, Any]:
    return {"api_key_lookup": key.lookup, "api_key_sealed": key.sealed}


def _valid_string_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def to_account(row: asyncpg.Record) -> Account:
    """Returns the account of a row."""
    document = row["document"]
    return Account(
        **_fact_fields(row, document.get("max_message_count"), document.get("wire_profile")),
        redirect_audio=document.get("redirect_audio"),
        timezone=document.get("timezone"),
        trash_days=document.get("trash_days"),
        retention=rule_of(document),
        limits=document.get("limits", {}),
        document=document,
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _facts_or_none(row: asyncpg.Record | None) -> AccountFacts | None:
    return None if row is None else to_facts(row)


def to_facts(row: asyncpg.Record) -> AccountFacts:
    return AccountFacts(
        **_fact_fields(row, row["max_message_count"], row["wire_profile"]),
        redirect_audio=row["redirect_audio"],
        timezone=row["timezone"],
        trash_days=row["trash_days"],
        retention=RetentionRule(
            message_days=row["message_retention_days"], deleted_days=row["deleted_retention_days"]
        ),
        limits=row["limits"] or {},
    )


def _fact_fields(row: asyncpg.Record, max_message_count: Any, wire_profile: Any) -> dict[str, Any]:
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
        "has_vmbox_retention": row["has_vmbox_retention"],
        "move_state": MoveState(row["move_state"]) if row["move_state"] else None,
        "moved_to": row["moved_to"],
    }
