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

from service.domain.move import MoveRefused, MoveState
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


class TargetRow(msgspec.Struct, frozen=True, kw_only=True):
    """Row of an account in the target. A hidden one is deleted, or a copy."""

    state: MoveState | None
    moved_to: str | None
    is_hidden: bool

    @property
    def is_served(self) -> bool:
        """True if the target serves the account, also while a reversal makes it read-only."""
        return (
            not self.is_hidden and self.state in (None, MoveState.READ_ONLY) and not self.moved_to
        )


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


async def get_target_row(connection: Connection, account_id: UUID) -> TargetRow | None:
    """Returns the row of an account in the target, whatever its state."""
    row = await _SQL["get_target_row"].fetchrow(connection, account_id=account_id)
    if row is None:
        return None
    return TargetRow(
        state=MoveState(row["move_state"]) if row["move_state"] else None,
        moved_to=row["moved_to"],
        is_hidden=row["is_hidden"],
    )


async def change_move_state(
    connection: Connection,
    account_ids: Sequence[UUID],
    state: MoveState | None,
    url: str | None,
    *,
    expected: Sequence[MoveState | None],
) -> None:
    """Changes the state of a move; None ends it.

    Raises MoveRefused if the state of an account is not one of `expected`.
    """
    changed = await _SQL["change_move_state"].fetch(
        connection,
        account_ids=account_ids,
        state=state,
        moved_to=url,
        expected=[each or "" for each in expected],
    )
    if len(changed) != len(account_ids):
        raise MoveRefused("The state of the account has changed meanwhile; run the command again.")


async def try_lock_move(connection: Connection, account_id: UUID) -> bool:
    """Locks the move of an account and of those below it until `unlock_move`. False: in use."""
    locked: bool = await _SQL["try_lock_move"].fetchval(connection, account_id=account_id)
    return locked


async def unlock_move(connection: Connection) -> None:
    """Releases the locks of this session."""
    await _SQL["unlock_move"].execute(connection)


async def get_time(connection: Connection) -> datetime:
    """Returns the clock that gives events their time."""
    time: datetime = await _SQL["get_time"].fetchval(connection)
    return time


async def list_months(connection: Connection, account_id: UUID) -> list[tuple[str, int]]:
    """Returns the months (`messages` or `audit`, YYYYMM) that have rows of an account."""
    rows = await _SQL["list_months_of_account"].fetch(connection, account_id=account_id)
    return [(row["kind"], row["month"]) for row in rows]


async def has_unfinished_work(
    connection: Connection, account_ids: Sequence[UUID], until: datetime | None = None
) -> bool:
    """Returns True while events are unpublished, or erasures are not finished.

    With `until`, later events do not count.
    """
    unfinished: bool = await _SQL["has_unfinished_work"].fetchval(
        connection, account_ids=account_ids, until=until
    )
    return unfinished


async def lock_boxes(connection: Connection, account_ids: Sequence[UUID]) -> None:
    """Prevents changes of the boxes until the transaction ends."""
    await _SQL["lock_boxes_of_move"].execute(connection, account_ids=account_ids)


async def leave(connection: Connection, account_ids: Sequence[UUID], url: str) -> None:
    """Ends the accounts in this deployment: state, last event, deliveries."""
    await change_move_state(
        connection, account_ids, MoveState.LEAVING, url, expected=[MoveState.READ_ONLY]
    )
    await suspend_deliveries(connection, account_ids)
    await append_accounts_moved(connection, account_ids, url)


async def suspend_deliveries(connection: Connection, account_ids: Sequence[UUID]) -> None:
    """Ends pending deliveries, which the other deployment performs."""
    await _SQL["suspend_deliveries"].execute(connection, account_ids=account_ids)


async def resume_deliveries(connection: Connection, account_ids: Sequence[UUID]) -> None:
    """Makes the deliveries pending again that were suspended."""
    await _SQL["resume_deliveries"].execute(connection, account_ids=account_ids)


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


async def put_arriving_account(
    connection: Connection, account: MovedRow, ancestors: Sequence[UUID]
) -> None:
    """Writes the hidden row of a copy; its parent is the last ancestor.

    Raises MoveRefused if the target has another row of the account.
    """
    row = await _SQL["put_arriving_account"].fetchrow(
        connection, content=account.content, parent_id=ancestors[-1], ancestors=ancestors
    )
    if row is None:
        raise MoveRefused(f"The target has an account with the id {account.account_id.hex}.")


async def serve_account(
    connection: Connection, account: MovedRow, ancestors: Sequence[UUID]
) -> None:
    """Serves the account of a complete copy. Raises MoveRefused if it is not a copy."""
    row = await _SQL["serve_account"].fetchrow(
        connection, content=account.content, parent_id=ancestors[-1], ancestors=ancestors
    )
    if row is None:
        raise MoveRefused(f"The target has no copy of the account {account.account_id.hex}.")


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
