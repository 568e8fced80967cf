"""Reversal of a move: serves the account in the deployment that it left, and ends it in the target.

The target is read-only while both sides are compared. From the moment at which it has no rows any
more, only this deployment has the account; every earlier step can be repeated or ended by a move.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from service.domain.errors import Unavailable
from service.domain.move import MoveRefused, MoveState
from service.postgres import account_moves as rows
from service.postgres.account_moves import MovedRow, TargetRow
from service.postgres.pool import Connection
from service.transfer.move.row_copy import CLAIMS, RowCopier, copy_deliveries
from service.transfer.move.sides import Sides, ids_of

_CHANGED = (
    "The account was changed in its new deployment, or its move was confirmed. Move it back from "
    "there with `aftertone account move`."
)


@dataclass(frozen=True)
class AccountReversal:
    """Takes back the move of one account and all accounts below it."""

    sides: Sides

    async def reverse(self, account_id: UUID) -> int:
        """Serves an account here again, and removes it from the target.

        Raises MoveRefused if it was changed there, or the move was confirmed. Run it again after an
        interruption: it continues.
        """
        async with self.sides.locked(account_id) as accounts:
            state, there = accounts[0].state, await self.sides.read_target(account_id)
            _check(state, there)
            if there and there.is_served:
                await self._take_back(accounts)
            else:
                await self._remove_copy(accounts)
            await self._serve(accounts)
        return len(accounts)

    async def _take_back(self, accounts: Sequence[MovedRow]) -> None:
        """Removes an account that the target serves; serves it there again if that fails."""
        ids, read_only = ids_of(accounts), MoveState.READ_ONLY
        await self._change_there(ids, read_only, expected=[None, read_only])
        try:
            self.sides.progress.begin("read-only in the target: waiting for running requests")
            await self.sides.sleep(self.sides.settle_s)
            self.sides.progress.begin("comparing")
            await self._remove_served(accounts)
        except (MoveRefused, Unavailable, asyncio.CancelledError):
            with suppress(MoveRefused, Unavailable):
                await self._change_there(ids, None, expected=[read_only])
            raise

    async def _change_there(
        self, ids: Sequence[UUID], state: MoveState | None, expected: Sequence[MoveState | None]
    ) -> None:
        async with self.sides.target.database.transaction() as connection:
            await rows.change_move_state(connection, ids, state, None, expected=expected)

    async def _remove_served(self, accounts: Sequence[MovedRow]) -> None:
        ids = ids_of(accounts)
        async with self.sides.target.database.transaction() as there:
            await rows.lock_boxes(there, ids)
            if {*ids_of(await rows.list_accounts(there, ids[0]))} != {*ids}:
                raise MoveRefused(_CHANGED)
            if await RowCopier(self.sides).are_different(accounts, {CLAIMS}):
                raise MoveRefused(_CHANGED)
            # If this is interrupted, a repetition finds either both copies or only this one.
            async with self.sides.source.database.transaction() as here:
                await self._make_read_only(here, ids)
                await copy_deliveries(there, here, accounts)
                await rows.suspend_deliveries(here, ids)
            await _remove(there, ids)

    async def _remove_copy(self, accounts: Sequence[MovedRow]) -> None:
        """Removes the copy of an account that the target does not serve."""
        ids = ids_of(accounts)
        if accounts[0].state is not None:
            async with self.sides.source.database.transaction() as here:
                await self._make_read_only(here, ids)
        async with self.sides.target.database.transaction() as there:
            await _remove(there, ids)

    async def _make_read_only(self, here: Connection, ids: Sequence[UUID]) -> None:
        expected = [MoveState.READ_ONLY, MoveState.LEAVING, MoveState.MOVED]
        await rows.change_move_state(
            here, ids, MoveState.READ_ONLY, self.sides.url, expected=expected
        )

    async def _serve(self, accounts: Sequence[MovedRow]) -> None:
        async with self.sides.target.database.connection() as there:
            epoch = await rows.get_epoch(there)
        async with self.sides.source.database.transaction() as here:
            await rows.raise_epoch_above(here, epoch)
            await rows.resume_deliveries(here, ids_of(accounts))
            await rows.change_move_state(
                here, ids_of(accounts), None, None, expected=[None, MoveState.READ_ONLY]
            )


def _check(state: MoveState | None, there: TargetRow | None) -> None:
    """Raises MoveRefused if the state of the two sides allows no reversal."""
    is_copy = there is not None and there.state is MoveState.ARRIVING
    if state is None and not is_copy:
        raise MoveRefused("The account is not being moved.")
    if state is None or is_copy or (there and there.is_served):
        return
    if there is not None and there.moved_to:
        raise MoveRefused(
            f"The target has moved the account to {there.moved_to}; reverse it there."
        )
    if there is not None or state is MoveState.MOVED:
        raise MoveRefused("The target does not have the account any more; it cannot be reversed.")


async def _remove(there: Connection, ids: Sequence[UUID]) -> None:
    for account_id in ids:
        await rows.erase_rows(there, account_id)
    await rows.erase_accounts(there, ids)
