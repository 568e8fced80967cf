"""The two deployments of a move, and what all its commands share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import msgspec

from service.audio.store import AudioStore
from service.domain.move import MoveRefused, MoveState
from service.postgres import account_moves as rows
from service.postgres.account_moves import MovedRow, TargetRow
from service.postgres.pool import Connection, Database
from service.security.keys import KeyRing

# The sessions of a killed command end within this time.
_LOCK_WAIT_S = 10.0
_POLL_S = 0.2


class MoveProgress:
    """Progress of a move. This class reports nothing."""

    def begin(self, step: str) -> None:
        """A step begins."""

    def set_total(self, total: int) -> None:
        """Number of tables to compare in this pass."""

    def advance(self, count: int) -> None:
        """So many tables are equal now."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two deployments. `database` belongs to the owner."""

    database: Database
    audio: AudioStore
    keys: KeyRing


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The deployment that an account leaves, and its target. `url` is the address of the target.

    `settle_s`: time after which no process still accepts a change of a read-only account, and no
    earlier request runs any more. `wait_s`: longest time to wait for events and erasures.
    """

    source: Side
    target: Side
    url: str
    settle_s: float
    wait_s: float
    progress: MoveProgress
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @asynccontextmanager
    async def locked(self, account_id: UUID) -> AsyncIterator[list[MovedRow]]:
        """Excludes other commands on the account, and on those above and below it.

        Yields the account and all accounts below it, parents first. Raises MoveRefused.
        """
        async with self.both() as (here, there):
            try:
                await self._lock(here, account_id)
                await self._lock(there, account_id)
                yield await self.read(account_id)
            finally:
                await rows.unlock_move(here)
                await rows.unlock_move(there)

    async def _lock(self, connection: Connection, account_id: UUID) -> None:
        for _ in range(int(_LOCK_WAIT_S / _POLL_S)):
            if await rows.try_lock_move(connection, account_id):
                return
            await rows.unlock_move(connection)
            await self.sleep(_POLL_S)
        raise MoveRefused(
            "Another command is moving the account, or one above or below it. Wait until it has "
            "ended."
        )

    async def read(self, account_id: UUID) -> list[MovedRow]:
        """Returns the account and all accounts below it, parents first. Raises MoveRefused."""
        async with self.source.database.connection() as connection:
            accounts = await rows.list_accounts(connection, account_id)
        if not accounts:
            raise MoveRefused("The account does not exist; check its id.")
        top = accounts[0]
        if top.content["parent_id"] is None:
            raise MoveRefused("The root account cannot be moved; move the accounts below it.")
        if top.moved_to not in (None, self.url):
            raise MoveRefused(f"The account is being moved to {top.moved_to}; use this address.")
        if top.state is MoveState.ARRIVING or (top.state and not top.moved_to):
            raise MoveRefused(
                "The account is being moved here, or that move is being reversed; end that first."
            )
        for each in accounts:
            if (each.state, each.moved_to) != (top.state, top.moved_to):
                raise MoveRefused(
                    f"The account {each.account_id.hex} below it is moved to {each.moved_to} on "
                    "its own. Move it back, or reverse its move."
                )
        return accounts

    async def read_target(self, account_id: UUID) -> TargetRow | None:
        """Returns the row of the account in the target."""
        async with self.target.database.connection() as connection:
            return await rows.get_target_row(connection, account_id)

    @asynccontextmanager
    async def both(self) -> AsyncIterator[tuple[Connection, Connection]]:
        """Connections to the source and to the target."""
        async with (
            self.source.database.connection() as here,
            self.target.database.connection() as there,
        ):
            yield here, there


def ids_of(accounts: Sequence[MovedRow]) -> list[UUID]:
    """Returns the ids of accounts."""
    return [account.account_id for account in accounts]
