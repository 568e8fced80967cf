"""Moves an account between deployments: copies its rows and audio, and changes where it is served.

Rows are copied as they are, so ids, counts, sequences, trash, holds and audit stay the same. Every
step can be repeated: a table whose digests are equal is not copied again. Until the target serves
the account, it has a hidden row there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.errors import Unavailable
from service.domain.move import MoveRefused, MoveState
from service.postgres import account_moves as rows
from service.postgres.account_moves import MovedRow, StoredAudio, TargetRow
from service.postgres.migrate import newest_migration
from service.postgres.pool import Connection
from service.transfer.move.audio_copy import AudioCopier
from service.transfer.move.row_copy import RECORDS, RowCopier, copy_deliveries
from service.transfer.move.sides import Sides, ids_of

# Rows change while they are copied: by requests before the account is read-only, later by the
# keeper.
_MAX_PASSES = 20
_POLL_S = 0.2


class MoveResult(msgspec.Struct, frozen=True, kw_only=True):
    """Number of moved accounts, and the keys of audio that the source did not have."""

    accounts: int
    missing_audio: list[str]


@dataclass(frozen=True)
class AccountMover:
    """Moves one account and all accounts below it, or confirms that move."""

    sides: Sides

    async def move(self, account_id: UUID, below: UUID | None) -> MoveResult:
        """Moves an account below an account of the target; without `below`, below its root.

        Raises MoveRefused, Unavailable. Run it again after an interruption: it continues.
        """
        async with self.sides.locked(account_id) as accounts:
            missing: list[str] = []
            state, there = accounts[0].state, await self.sides.read_target(account_id)
            if there and there.is_served and state in (MoveState.READ_ONLY, MoveState.MOVED):
                await self._end_reversal(accounts, there)
            elif state is not MoveState.MOVED:
                if state is not MoveState.LEAVING:
                    missing = await self._leave(accounts, below)
                if not (there and there.is_served):
                    await self._arrive(await self.sides.read(account_id), below)
                await self._redirect(ids_of(accounts), MoveState.LEAVING)
        return MoveResult(accounts=len(accounts), missing_audio=missing)

    async def confirm(self, account_id: UUID) -> int:
        """Deletes the rows that a moved account left here; the keeper then deletes its audio.

        The account itself stays, as the address of the new deployment.
        """
        async with self.sides.locked(account_id) as accounts:
            if accounts[0].state is not MoveState.MOVED:
                raise MoveRefused("The move is not finished; run the command without --confirm.")
            for account in accounts:
                async with self.sides.source.database.transaction() as connection:
                    await rows.erase_rows(connection, account.account_id)
        return len(accounts)

    async def _end_reversal(self, accounts: Sequence[MovedRow], there: TargetRow) -> None:
        """Ends a reversal that was interrupted before it removed the account from the target."""
        if there.state is not None:
            async with self.sides.target.database.transaction() as connection:
                await rows.change_move_state(
                    connection, ids_of(accounts), None, None, expected=[MoveState.READ_ONLY]
                )
        if accounts[0].state is not MoveState.MOVED:
            await self._redirect(ids_of(accounts), MoveState.READ_ONLY)

    async def _redirect(self, ids: Sequence[UUID], expected: MoveState) -> None:
        async with self.sides.source.database.transaction() as connection:
            await rows.change_move_state(
                connection, ids, MoveState.MOVED, self.sides.url, expected=[expected]
            )

    async def _leave(self, accounts: Sequence[MovedRow], below: UUID | None) -> list[str]:
        """Copies accounts and ends them here. They can be changed again if that fails."""
        ids = ids_of(accounts)
        try:
            await self._check(accounts)
            await self._put_copies(accounts, below)
            missing = await self._copy_while_writable(accounts)
            await self._wait_for_work(ids, until=await self._now())
            return await self._end_here(accounts) or missing
        except (MoveRefused, Unavailable, asyncio.CancelledError):
            with suppress(MoveRefused, Unavailable):
                await self._make_writable(ids)
            raise

    async def _check(self, accounts: Sequence[MovedRow]) -> None:
        """Checks before anything is written. Raises MoveRefused."""
        source, target = self.sides.source.keys, self.sides.target.keys
        if source.pepper != target.pepper or not source.encryption.items() <= (
            target.encryption.items()
        ):
            raise MoveRefused(
                "The key ring of the target cannot read the secrets of the account. It needs the "
                "same pepper and all encryption keys of this deployment."
            )
        async with self.sides.both() as (here, there):
            if await newest_migration(here) != await newest_migration(there):
                raise MoveRefused("The deployments have different releases; upgrade one of them.")
            await _check_conflicts(there, accounts)

    async def _put_copies(self, accounts: Sequence[MovedRow], below: UUID | None) -> None:
        """Writes the hidden rows of the accounts in the target."""
        async with self.sides.target.database.transaction() as connection:
            for account, ancestors in await _new_places(connection, accounts, below):
                await rows.put_arriving_account(connection, account, ancestors)

    async def _copy_while_writable(self, accounts: Sequence[MovedRow]) -> list[str]:
        """Copies most rows and audio, so that the account is read-only for a shorter time."""
        if accounts[0].state is MoveState.READ_ONLY:
            return []
        self.sides.progress.begin("copying audio")
        missing = await self._copy_audio(accounts)
        self.sides.progress.begin("copying rows")
        await RowCopier(self.sides).copy_differences(accounts)
        return missing

    async def _end_here(self, accounts: Sequence[MovedRow]) -> list[str]:
        """Makes the account read-only, copies the rest, and ends it here."""
        ids = ids_of(accounts)
        async with self.sides.source.database.transaction() as connection:
            await rows.change_move_state(
                connection,
                ids,
                MoveState.READ_ONLY,
                self.sides.url,
                expected=[None, MoveState.READ_ONLY],
            )
        self.sides.progress.begin("read-only: waiting for running requests and events")
        await self.sides.sleep(self.sides.settle_s)
        await self._wait_for_work(ids, until=None)
        for _ in range(_MAX_PASSES):
            self.sides.progress.begin("read-only: copying what has changed")
            await RowCopier(self.sides).copy_differences(accounts)
            missing = await self._copy_audio(accounts)
            if await self._left(accounts):
                return missing
        raise MoveRefused(
            "The rows of the account keep changing, so it was not moved and can be changed again. "
            "Stop the keeper and the notifiers, and run the command again."
        )

    async def _make_writable(self, ids: Sequence[UUID]) -> None:
        async with self.sides.source.database.transaction() as connection:
            await rows.change_move_state(
                connection, ids, None, None, expected=[None, MoveState.READ_ONLY]
            )

    async def _now(self) -> datetime:
        async with self.sides.source.database.connection() as connection:
            return await rows.get_time(connection)

    async def _wait_for_work(self, ids: Sequence[UUID], until: datetime | None) -> None:
        """Waits until events are published and erasures finished. Raises MoveRefused."""
        deadline = time.monotonic() + self.sides.wait_s
        while True:
            async with self.sides.source.database.connection() as connection:
                if not await rows.has_unfinished_work(connection, ids, until):
                    return
            if time.monotonic() >= deadline:
                raise MoveRefused(
                    f"Events of the account are not published after {self.sides.wait_s:g} s, or "
                    "an erasure is not finished, so the account was not moved and can be changed. "
                    "Check the relay and the keeper, and run the command again; --wait sets the "
                    "time."
                )
            await self.sides.sleep(_POLL_S)

    async def _left(self, accounts: Sequence[MovedRow]) -> bool:
        """Ends the accounts here if both sides are equal. Their boxes cannot change meanwhile."""
        ids = ids_of(accounts)
        async with self.sides.source.database.transaction() as connection:
            await rows.lock_boxes(connection, ids)
            if ids_of(await rows.list_accounts(connection, ids[0])) != ids:
                raise MoveRefused(
                    "An account was created below it meanwhile; run the command again."
                )
            if await RowCopier(self.sides).are_different(accounts):
                return False
            await rows.leave(connection, ids, self.sides.url)
        return True

    async def _arrive(self, accounts: Sequence[MovedRow], below: UUID | None) -> None:
        """Serves the accounts in the target, with an epoch above that of the source."""
        self.sides.progress.begin("starting in the target")
        await RowCopier(self.sides).copy_differences(accounts, RECORDS.__contains__)
        async with (
            self.sides.source.database.connection() as here,
            self.sides.target.database.transaction() as there,
        ):
            await _check_conflicts(there, accounts)
            await rows.raise_epoch_above(there, await rows.get_epoch(here))
            await rows.put_revoked_tokens(there, await rows.list_revoked_tokens(here))
            await copy_deliveries(here, there, accounts)
            await rows.resume_deliveries(there, ids_of(accounts))
            for account, ancestors in await _new_places(there, accounts, below):
                await rows.serve_account(there, account, ancestors)

    async def _copy_audio(self, accounts: Sequence[MovedRow]) -> list[str]:
        copier = AudioCopier(source=self.sides.source.audio, target=self.sides.target.audio)
        return await copier.copy_all(self._audio(accounts))

    async def _audio(self, accounts: Sequence[MovedRow]) -> AsyncIterator[StoredAudio]:
        async with self.sides.source.database.transaction() as connection:
            for table in await rows.list_account_tables(connection):
                for account in accounts:
                    async for audio in rows.iterate_audio(connection, table, account.account_id):
                        yield audio


async def _check_conflicts(there: Connection, accounts: Sequence[MovedRow]) -> None:
    """Raises MoveRefused if the target has accounts with the same ids, realms or names."""
    if conflicts := await rows.list_conflicts(there, accounts):
        raise MoveRefused(
            "The target has accounts with the same id, realm or name: " + ", ".join(conflicts)
        )


async def _new_places(
    there: Connection, accounts: Sequence[MovedRow], below: UUID | None
) -> list[tuple[MovedRow, list[UUID]]]:
    """Returns each account with its ancestors in the target, the parent last."""
    parent = await rows.get_new_ancestors(there, below)
    if parent is None:
        raise MoveRefused("The account of --below does not exist in the target.")
    depth = len(accounts[0].content["ancestors"])
    return [
        (account, [*parent, *map(UUID, account.content["ancestors"][depth:])])
        for account in accounts
    ]
