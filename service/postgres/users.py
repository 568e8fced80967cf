"""Users: one function per statement of users.sql."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from service.domain.audit import Action
from service.domain.errors import UserNotFound
from service.domain.page import NameCursor
from service.domain.schema import Document
from service.domain.user import User
from service.postgres.audit import insert_change
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.postgres.unique import report_taken

_SQL = load("users")
# Bounds the memory of a process; an administrator has access to all boxes without owning them.
_MAX_OWNED_BOXES = 1_000
_UNIQUE_FIELDS = {"username_is_unique": "username", "user_credentials_are_unique": "password"}


class StoredCredential(msgspec.Struct, frozen=True):
    """Credential to be stored: the keyed hash for the look-up, and the argon2id hash."""

    lookup: bytes
    proof: str


class CredentialRow(msgspec.Struct, frozen=True, kw_only=True):
    """Stored credential: its user, the argon2id hash, and the token epoch of the user."""

    user_id: UUID
    proof: str
    auth_epoch: int


class UserRights(msgspec.Struct, frozen=True, kw_only=True):
    """`priv_level` of a user as stored, and the boxes that it owns."""

    priv_level: str | None
    vmbox_ids: frozenset[UUID]


async def insert_user(
    connection: Connection, account_id: UUID, user_id: UUID, document: Document
) -> User:
    """Creates a user and its token epoch. Raises Invalid when the name is taken."""
    with report_taken(_UNIQUE_FIELDS):
        row = await _SQL["insert_user"].fetchrow(
            connection,
            account_id=account_id,
            user_id=user_id,
            username=document["username"],
            document=document,
        )
    assert row is not None, "an INSERT that does not fail returns its row"
    await _SQL["insert_epoch"].execute(connection, account_id=account_id, user_id=user_id)
    await insert_change(connection, account_id, Action.USER_CREATED, user_id)
    return _to_user(row)


async def update_user(connection: Connection, before: User, document: Document) -> User | None:
    """Replaces the document of a user. Returns None when `before` is no longer its revision.

    Raises Invalid when the name is taken.
    """
    with report_taken(_UNIQUE_FIELDS):
        row = await _SQL["update_user"].fetchrow(
            connection,
            account_id=before.account_id,
            user_id=before.user_id,
            revision=before.revision,
            username=document["username"],
            document=document,
        )
    if row is None:
        return None
    await insert_change(connection, before.account_id, Action.USER_UPDATED, before.user_id)
    return _to_user(row)


async def delete_user(connection: Connection, account_id: UUID, user_id: UUID) -> User:
    """Deletes a user and returns it. Raises UserNotFound."""
    row = await _SQL["delete_user"].fetchrow(connection, account_id=account_id, user_id=user_id)
    user = _user_or_raise(row, user_id)
    await insert_change(connection, account_id, Action.USER_DELETED, user_id)
    return user


async def get_user(connection: Connection, account_id: UUID, user_id: UUID) -> User:
    """Returns a user. Raises UserNotFound."""
    row = await _SQL["get_user"].fetchrow(connection, account_id=account_id, user_id=user_id)
    return _user_or_raise(row, user_id)


async def list_users(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    descending: bool = False,
    user_id: UUID | None = None,
) -> list[User]:
    """Returns the users of an account, or only `user_id`, by name from `start` on.

    `has_password` is always False.
    """
    statement = _SQL["list_users_descending" if descending else "list_users"]
    start_name = start.name if start else None if descending else ""
    rows = await statement.fetch(
        connection,
        account_id=account_id,
        user_id=user_id,
        start_name=start_name,
        limit=limit,
    )
    return [_to_user(row) for row in rows]


async def count_users(connection: Connection, account_id: UUID, limit: int) -> int:
    """Returns the number of users of an account, counted up to `limit`."""
    count: int = await _SQL["count_users"].fetchval(connection, account_id=account_id, limit=limit)
    return count


async def is_username_taken(
    connection: Connection, account_id: UUID, username: str, except_id: UUID | None = None
) -> bool:
    """Returns True when another user than `except_id` has the name."""
    taken: bool = await _SQL["is_username_taken"].fetchval(
        connection, account_id=account_id, username=username, except_user_id=except_id
    )
    return taken


async def replace_credentials(
    connection: Connection, account_id: UUID, user_id: UUID, credentials: Sequence[StoredCredential]
) -> None:
    """Replaces all credentials of a user.

    Raises Invalid when another user has one of them, which only a forged hash can cause.
    """
    await _SQL["delete_credentials"].execute(connection, account_id=account_id, user_id=user_id)
    with report_taken(_UNIQUE_FIELDS):
        await _SQL["insert_credentials"].fetchrow(
            connection,
            account_id=account_id,
            user_id=user_id,
            lookups=[credential.lookup for credential in credentials],
            proofs=[credential.proof for credential in credentials],
        )


async def find_credentials(
    connection: Connection, account_id: UUID, lookup: bytes
) -> CredentialRow | None:
    """Returns the credential with a keyed hash, or None."""
    row = await _SQL["find_credentials"].fetchrow(connection, account_id=account_id, lookup=lookup)
    return None if row is None else CredentialRow(**row)


async def raise_epoch(connection: Connection, account_id: UUID, user_id: UUID) -> int:
    """Invalidates all tokens of a user and returns the new epoch. Raises UserNotFound."""
    epoch: int | None = await _SQL["raise_epoch"].fetchval(
        connection, account_id=account_id, user_id=user_id
    )
    if epoch is None:
        raise UserNotFound(user_id.hex)
    return epoch


async def get_user_epoch(connection: Connection, account_id: UUID, user_id: UUID) -> int | None:
    """Returns the token epoch, or None when the user never existed or its account was deleted."""
    epoch: int | None = await _SQL["get_user_epoch"].fetchval(
        connection, account_id=account_id, user_id=user_id
    )
    return epoch


async def get_user_rights(connection: Connection, account_id: UUID, user_id: UUID) -> UserRights:
    """Returns the rights of a user; an unknown user has no `priv_level`."""
    row = await _SQL["get_user_rights"].fetchrow(
        connection, account_id=account_id, user_id=user_id, limit=_MAX_OWNED_BOXES
    )
    assert row is not None, "a SELECT without FROM returns one row"
    return UserRights(priv_level=row["priv_level"], vmbox_ids=frozenset(row["vmbox_ids"]))


async def delete_users_of_account(
    connection: Connection, account_id: UUID, timeout_s: float
) -> None:
    """Deletes all users of an account with their credentials."""
    await _SQL["delete_users_of_account"].execute(
        connection, account_id=account_id, timeout_s=timeout_s
    )


def _user_or_raise(row: asyncpg.Record | None, user_id: UUID) -> User:
    if row is None:
        raise UserNotFound(user_id.hex)
    return _to_user(row)


def _to_user(row: asyncpg.Record) -> User:
    return User(**{key: value for key, value in row.items() if key != "username"})
