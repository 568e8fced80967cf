"""Named API keys: one function per statement of api_keys.sql."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from service.domain.access import Permission
from service.domain.api_key import MAX_API_KEYS, ApiKey
from service.domain.errors import ApiKeyNotFound, TooManyApiKeys
from service.domain.page import NameCursor
from service.postgres.pool import Connection
from service.postgres.sql import load, page_start

_SQL = load("api_keys")


async def insert_api_key(
    connection: Connection, key: ApiKey, lookup: bytes, max_keys: int = MAX_API_KEYS
) -> ApiKey:
    """Stores a key; returns it with its creation time. Raises TooManyApiKeys."""
    row = await _SQL["insert_api_key"].fetchrow(
        connection,
        account_id=key.account_id,
        key_id=key.key_id,
        lookup=lookup,
        name=key.name,
        scopes=key.scopes,
        vmbox_ids=key.vmbox_ids,
        expires_at=key.expires_at,
        max_keys=max_keys,
    )
    if row is None:
        raise TooManyApiKeys(max_keys)
    return _to_api_key(row)


async def get_api_key(connection: Connection, account_id: UUID, key_id: UUID) -> ApiKey | None:
    """Returns a key, or None when it does not exist or is revoked."""
    row = await _SQL["get_api_key"].fetchrow(connection, account_id=account_id, key_id=key_id)
    return None if row is None else _to_api_key(row)


async def find_api_key(connection: Connection, lookup: bytes) -> ApiKey | None:
    """Returns the valid key with a keyed hash, or None."""
    row = await _SQL["find_api_key"].fetchrow(connection, lookup=lookup)
    return None if row is None else _to_api_key(row)


async def list_api_keys(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    descending: bool = False,
) -> list[ApiKey]:
    """Returns the keys of an account by (name, id) from `start` on."""
    statement = _SQL["list_api_keys_descending" if descending else "list_api_keys"]
    rows = await statement.fetch(
        connection, account_id=account_id, **page_start(start, descending), limit=limit
    )
    return [_to_api_key(row) for row in rows]


async def revoke_api_key(connection: Connection, account_id: UUID, key_id: UUID) -> ApiKey:
    """Revokes a key and returns it. Raises ApiKeyNotFound."""
    row = await _SQL["revoke_api_key"].fetchrow(connection, account_id=account_id, key_id=key_id)
    if row is None:
        raise ApiKeyNotFound(key_id.hex)
    return _to_api_key(row)


async def revoke_api_keys_of_account(connection: Connection, account_id: UUID) -> None:
    """Revokes all keys of an account."""
    await _SQL["revoke_api_keys_of_account"].execute(connection, account_id=account_id)


async def record_api_key_use(connection: Connection, account_id: UUID, key_id: UUID) -> None:
    """Sets the time of the last use of a key, at most once a minute."""
    await _SQL["record_api_key_use"].execute(connection, account_id=account_id, key_id=key_id)


async def list_revoked_api_keys(
    connection: Connection, since: datetime, *, overlap: timedelta, limit: int
) -> Sequence[UUID]:
    """Returns the keys that were revoked after `since` minus `overlap`."""
    rows = await _SQL["list_revoked_api_keys"].fetch(
        connection, since=since, overlap=overlap, limit=limit
    )
    return [row["key_id"] for row in rows]


def _to_api_key(row: asyncpg.Record) -> ApiKey:
    boxes = row["vmbox_ids"]
    return ApiKey(
        account_id=row["account_id"],
        key_id=row["key_id"],
        name=row["name"],
        scopes=tuple(Permission(scope) for scope in row["scopes"]),
        vmbox_ids=None if boxes is None else tuple(boxes),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
