"""Moves of accounts between two databases: rows of an account, their digests, the state of a move.

Run as the owner, except `read_*` and `list_*`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service.domain.move import MoveState
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.traces import traceparent

_SQL = load("account_moves")
_BLOCKS_IN_FLIGHT = 16
# The row of an account is written last. Events and the archives of exports stay.
_KEPT = ("accounts", "outbox", "export_jobs")
# Audio in other formats is not copied, but made again.
_DERIVED = ("renditions",)
# Rows that refer to others: those are deleted together with them.
_REFERRERS = {"media": ("vmbox_media",)}


class AccountTable(msgspec.Struct, frozen=True, kw_only=True):
    """Table with rows of accounts, and its statements; their only parameter is the account."""

    name: str
    columns: tuple[str, ...]
    rows: str
    digest: str
    erase: str
    audio: str | None


class MovedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Row of an account, with its state in a move."""

    account_id: UUID
    state: MoveState | None
    moved_to: str | None
    content: dict[str, Any]


class StoredAudio(msgspec.Struct, frozen=True):
    """Audio object of a message or greeting."""

    key: str
    content_type: str
    size: int


class RevokedToken(msgspec.Struct, frozen=True):
    """Token that was revoked before it expires."""

    token_id: UUID
    expires_at: datetime
    revoked_at: datetime


async def list_account_tables(
    connection: Connection, *, with_derived: bool = False
) -> list[AccountTable]:
    """Returns all tables whose rows move with an account; `with_derived` adds those made again."""
    kept = _KEPT if with_derived else _KEPT + _DERIVED
    rows = await _SQL["list_account_tables"].fetch(connection, kept=kept)
    return [AccountTable(**{**row, "columns": tuple(row["columns"])}) for row in rows]


async def list_accounts(connection: Connection, account_id: UUID) -> list[MovedRow]:
    """Returns an account and all accounts below it, parents first."""
    rows = await _SQL["list_accounts_of_move"].fetch(connection, account_id=account_id)
    return [
        MovedRow(
            account_id=row["account_id"],
            state=MoveState(row["move_state"]) if row["move_state"] else None,
            moved_to=row["moved_to"],
            content=row["content"],
        )
        for row in rows
    ]


async def get_new_ancestors(connection: Connection, below: UUID | None) -> list[UUID] | None:
    """Returns the ancestors of accounts below `below`, or below the root; None without it."""
    ancestors: list[UUID] | None = await _SQL["get_new_ancestors"].fetchval(
        connection, account_id=below
    )
    return ancestors


async def list_conflicts(connection: Connection, accounts: Sequence[MovedRow]) -> list[str]:
    """Returns the realms of existing accounts that have the id, realm or name of one of these."""
    rows = await _SQL["list_conflicts_of_move"].fetch(
        connection,
        account_ids=[account.account_id for account in accounts],
        realms=[account.content["realm"].lower() for account in accounts],
        names=[account.content["name"] for account in accounts],
    )
    return [row["realm"] for row in rows]


async def set_move_state(
    connection: Connection, account_ids: Sequence[UUID], state: MoveState | None, url: str | None
) -> None:
    """Records the state of a move; None ends it."""
    await _SQL["set_move_state"].execute(
        connection, account_ids=account_ids, state=state, moved_to=url
    )


async def list_months(connection: Connection, account_id: UUID) -> list[tuple[str, int]]:
    """Returns the months (`messages` or `audit`, YYYYMM) that have rows of an account."""
    rows = await _SQL["list_months_of_account"].fetch(connection, account_id=account_id)
    return [(row["kind"], row["month"]) for row in rows]


async def has_unfinished_work(connection: Connection, account_ids: Sequence[UUID]) -> bool:
    """Returns True while events are unpublished, or erasures are not finished."""
    unfinished: bool = await _SQL["has_unfinished_work"].fetchval(
        connection, account_ids=account_ids
    )
    return unfinished


async def lock_boxes(connection: Connection, account_ids: Sequence[UUID]) -> None:
    """Prevents changes of the boxes until the transaction ends."""
    await _SQL["lock_boxes_of_move"].execute(connection, account_ids=account_ids)


async def leave(connection: Connection, account_ids: Sequence[UUID], url: str) -> None:
    """Ends the accounts in this deployment: state, last event, deliveries."""
    await set_move_state(connection, account_ids, MoveState.MOVED, url)
    await _SQL["drop_pending_deliveries"].execute(connection, account_ids=account_ids)
    await append_accounts_moved(connection, account_ids, url)


async def append_accounts_moved(
    connection: Connection, account_ids: Sequence[UUID], url: str
) -> None:
    """Appends the last event of each account in this deployment."""
    await _SQL["append_accounts_moved"].execute(
        connection, account_ids=account_ids, moved_to=url, traceparent=traceparent()
    )


async def get_epoch(connection: Connection) -> int:
    """Returns the epoch of the deployment."""
    epoch: int = await _SQL["get_epoch"].fetchval(connection)
    return epoch


async def raise_epoch_above(connection: Connection, epoch: int) -> None:
    """Raises the epoch of the deployment above `epoch`, unless it is higher."""
    await _SQL["raise_epoch_above"].execute(connection, epoch=epoch)


async def put_account(
    connection: Connection, account: MovedRow, parent_id: UUID, ancestors: Sequence[UUID]
) -> None:
    """Writes the row of an account, which is served from then on."""
    await _SQL["put_account"].execute(
        connection, content=account.content, parent_id=parent_id, ancestors=ancestors
    )


async def erase_accounts(connection: Connection, account_ids: Sequence[UUID]) -> None:
    """Deletes the rows of the accounts themselves."""
    await _SQL["erase_accounts"].execute(connection, account_ids=account_ids)


async def list_revoked_tokens(connection: Connection) -> list[RevokedToken]:
    """Returns all revoked tokens that have not expired."""
    return [RevokedToken(*row) for row in await _SQL["list_revoked_tokens"].fetch(connection)]


async def put_revoked_tokens(connection: Connection, tokens: Sequence[RevokedToken]) -> None:
    """Revokes the tokens, unless they are revoked."""
    await _SQL["put_revoked_tokens"].execute(
        connection,
        token_ids=[token.token_id for token in tokens],
        expiries=[token.expires_at for token in tokens],
        times=[token.revoked_at for token in tokens],
    )


async def read_digest(connection: Connection, table: AccountTable, account_id: UUID) -> str:
    """Returns the number and a checksum of the rows of an account."""
    digest: str = await connection.fetchval(table.digest, account_id)
    return digest


async def iterate_audio(
    connection: Connection, table: AccountTable, account_id: UUID
) -> AsyncIterator[StoredAudio]:
    """Yields the audio objects of a table. Needs a transaction."""
    if table.audio is not None:
        async for row in connection.cursor(table.audio, account_id):
            yield StoredAudio(*row)


async def erase_rows(connection: Connection, account_id: UUID) -> None:
    """Deletes all rows of an account, in an order that keeps references valid."""
    for table in reversed(await list_account_tables(connection, with_derived=True)):
        await connection.execute(table.erase, account_id)


async def copy_rows(
    source: Connection, target: Connection, table: AccountTable, account_id: UUID
) -> None:
    """Replaces the rows of an account in the target by those of the source, in one transaction."""
    async with target.transaction():
        for name in _REFERRERS.get(table.name, ()):
            referrer = next(t for t in await list_account_tables(target) if t.name == name)
            await target.execute(referrer.erase, account_id)
        await target.execute(table.erase, account_id)
        blocks: asyncio.Queue[bytes | None] = asyncio.Queue(_BLOCKS_IN_FLIGHT)

        async def read() -> None:
            try:
                await source.copy_from_query(
                    table.rows, account_id, output=blocks.put, format="binary"
                )
            finally:
                await blocks.put(None)

        async def received() -> AsyncIterator[bytes]:
            while (block := await blocks.get()) is not None:
                yield block

        reader = asyncio.create_task(read())
        try:
            await target.copy_to_table(
                table.name, source=received(), columns=table.columns, format="binary"
            )
            await reader
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader
