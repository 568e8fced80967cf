"""Users: rows <-> domain; one function per statement of users.sql."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.errors import Invalid, Rule, UserNotFound
from service.domain.page import NameCursor
from service.domain.schema import Document
from service.domain.user import User
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("users")
_UNIQUE_FIELDS = {"username_is_unique": "username", "user_credentials_are_unique": "password"}


class StoredCredential(msgspec.Struct, frozen=True):
    """A credential as it is kept: what it is found by, and what proves it."""

    lookup: bytes
    proof: str


class FoundCredential(msgspec.Struct, frozen=True, kw_only=True):
    """Whose credential it is, what proves it, and the epoch of that user's tokens."""

    user_id: UUID
    proof: str
    auth_epoch: int


async def insert_user(
    connection: Connection, account_id: UUID, user_id: UUID, document: Document
) -> User:
    """A new user with its epoch. Raises Invalid when the name is taken."""
    row = await _write(connection, "insert_user", account_id, user_id, _name(document), document)
    assert row is not None, "an INSERT that does not fail returns its row"
    await connection.execute(_SQL["insert_epoch"], account_id, user_id)
    return _to_user(row)


async def update_user(connection: Connection, before: User, document: Document) -> User | None:
    """Replaces the document of a user as it was read; None when it was changed since.

    Raises Invalid when the name is taken.
    """
    key = (before.account_id, before.user_id, before.revision)
    row = await _write(connection, "update_user", *key, _name(document), document)
    return None if row is None else _to_user(row)


async def delete_user(connection: Connection, account_id: UUID, user_id: UUID) -> User:
    """Raises UserNotFound."""
    return _found(await connection.fetchrow(_SQL["delete_user"], account_id, user_id), user_id)


async def get_user(connection: Connection, account_id: UUID, user_id: UUID) -> User:
    """Raises UserNotFound."""
    return _found(await connection.fetchrow(_SQL["get_user"], account_id, user_id), user_id)


async def list_users(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    descending: bool = False,
) -> list[User]:
    """The users of an account by name from `start` on; `has_password` is not looked up."""
    if descending:
        statement, name = _SQL["list_users_descending"], start.name if start else None
    else:
        statement, name = _SQL["list_users"], start.name if start else ""
    return [_to_user(row) for row in await connection.fetch(statement, account_id, name, limit)]


async def username_taken(
    connection: Connection, account_id: UUID, username: str, but: UUID | None = None
) -> bool:
    """Whether another user than `but` has the name."""
    taken: bool = await connection.fetchval(_SQL["username_taken"], account_id, username, but)
    return taken


async def replace_credentials(
    connection: Connection, account_id: UUID, user_id: UUID, given: Sequence[StoredCredential]
) -> None:
    """Raises Invalid when another user has one of them, which takes a forged hash."""
    await connection.execute(_SQL["delete_credentials"], account_id, user_id)
    lookups, proofs = [one.lookup for one in given], [one.proof for one in given]
    await _write(connection, "insert_credentials", account_id, user_id, lookups, proofs)


async def find_credentials(
    connection: Connection, account_id: UUID, lookup: bytes
) -> FoundCredential | None:
    row = await connection.fetchrow(_SQL["find_credentials"], account_id, lookup)
    return None if row is None else FoundCredential(**row)


async def raise_epoch(connection: Connection, account_id: UUID, user_id: UUID) -> int:
    """The epoch of the user's tokens from now on; all before it are over."""
    epoch: int | None = await connection.fetchval(_SQL["raise_epoch"], account_id, user_id)
    if epoch is None:
        raise UserNotFound(user_id.hex)
    return epoch


async def user_epoch(connection: Connection, account_id: UUID, user_id: UUID) -> int | None:
    """None when there never was such a user, or its account is gone."""
    epoch: int | None = await connection.fetchval(_SQL["user_epoch"], account_id, user_id)
    return epoch


async def delete_users_of_account(
    connection: Connection, account_id: UUID, timeout_s: float
) -> None:
    await connection.execute(_SQL["delete_users_of_account"], account_id, timeout=timeout_s)


async def _write(connection: Connection, name: str, *values: Any) -> asyncpg.Record | None:
    try:
        return await connection.fetchrow(_SQL[name], *values)
    except asyncpg.UniqueViolationError as error:
        field = _UNIQUE_FIELDS.get(error.constraint_name or "")
        if field is None:
            raise
        raise Invalid.of(field, Rule.UNIQUE) from None


def _name(document: Document) -> str:
    name: str = document["username"]
    return name


def _found(row: asyncpg.Record | None, user_id: UUID) -> User:
    if row is None:
        raise UserNotFound(user_id.hex)
    return _to_user(row)


def _to_user(row: asyncpg.Record) -> User:
    return User(**{key: value for key, value in row.items() if key != "username"})
