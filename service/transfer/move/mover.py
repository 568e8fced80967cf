"""Moves an account between deployments: copies its rows and audio, and changes where it is served.

Rows are copied as they are, so ids, counts, sequences, trash, holds and audit stay the same. Every
step can be repeated: a table whose digests are equal is not copied again. The row of the account
itself is written last, so the target serves nothing before everything is there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import msgspec

from service.audio.store import AudioStore
from service.domain.move import MoveRefused, MoveState
from service.postgres import account_moves as rows
from service.postgres.account_moves import AccountTable, MovedRow, StoredAudio
from service.postgres.migrate import newest_migration
from service.postgres.months import ensure_audit_month, ensure_month
from service.postgres.pool import Connection, Database
from service.security.keys import KeyRing
from service.transfer.move.audio_copy import AudioCopier

# Rows change while they are copied: by requests before the account is read-only, later by the
# keeper.
_MAX_PASSES = 20
_POLL_S = 0.2
# Tables that change without a change of the account. Pending rows of `deliveries` are dropped here
# after its last copy; the others are copied once more after that.
_DELIVERIES = "deliveries"
_RECORDS = frozenset({"audit", "mail_rates", "webhook_attempts"})
_LIVE = _RECORDS | {_DELIVERIES}


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


class MoveResult(msgspec.Struct, frozen=True, kw_only=True):
    """Number of moved accounts, and the keys of audio that the source did not have."""

    accounts: int
    missing_audio: list[str]


@dataclass(frozen=True, kw_only=True)
class AccountMover:
    """Moves one account and all accounts below it. `url` is the public address of the target.

    `settle_s`: time after which no process of the source still accepts a change of a read-only
    account, and no earlier request runs any more.
    """

    source: Side
    target: Side
    url: str
    settle_s: float
    progress: MoveProgress
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def move(self, account_id: UUID, below: UUID | None) -> MoveResult:
        """Moves an account below an account of the target; without `below`, below its root.

        Raises MoveRefused, Unavailable. Run it again after an interruption: it continues.
        """
        accounts = await self._accounts(account_id)
        parent = await self._parent(below)
        if accounts[0].state is not MoveState.MOVED:
            await self._check(accounts)
            missing = await self._copy_while_writable(accounts)
            missing = await self._leave(accounts) or missing
        else:
            missing = []
        # A served account has records of its own, which a copy would replace.
        if not await self._is_served_there(account_id):
            await self._arrive(accounts, parent)
        return MoveResult(accounts=len(accounts), missing_audio=missing)

    async def reverse(self, account_id: UUID) -> int:
        """Serves a moved account here again, and removes it from the target.

        Raises MoveRefused if it was changed there, or the move was confirmed.
        """
        accounts = await self._accounts(account_id)
        ids = _ids(accounts)
        if not any(account.state for account in accounts):
            raise MoveRefused("The account is not being moved.")
        async with self.target.database.transaction() as connection:
            epoch = await rows.get_epoch(connection)
            await rows.lock_boxes(connection, ids)
            await self._check_unchanged_there(accounts)
            # If this is interrupted, a repetition finds either both copies or only this one.
            async with self.source.database.transaction() as here:
                await rows.set_move_state(here, ids, MoveState.READ_ONLY, self.url)
            await self._remove(connection, accounts)
        async with self.source.database.transaction() as connection:
            await rows.raise_epoch_above(connection, epoch)
            await rows.set_move_state(connection, ids, None, None)
        return len(accounts)

    async def confirm(self, account_id: UUID) -> int:
        """Deletes the rows that a moved account left here; the keeper then deletes its audio.

        The account itself stays, as the address of the new deployment.
        """
        accounts = await self._accounts(account_id)
        if any(account.state is not MoveState.MOVED for account in accounts):
            raise MoveRefused("The account was not moved yet; run the command without --confirm.")
        if not await self._is_served_there(account_id):
            raise MoveRefused("The move is not finished; run the command without --confirm.")
        for account in accounts:
            async with self.source.database.transaction() as connection:
                await rows.erase_rows(connection, account.account_id)
        return len(accounts)

    async def _accounts(self, account_id: UUID) -> list[MovedRow]:
        async with self.source.database.connection() as connection:
            accounts = await rows.list_accounts(connection, account_id)
        if not accounts:
            raise MoveRefused("The account does not exist; check its id, realm or name.")
        if accounts[0].content["parent_id"] is None:
            raise MoveRefused("The root account cannot be moved; move the accounts below it.")
        moved_to = accounts[0].moved_to
        if moved_to is not None and moved_to != self.url:
            raise MoveRefused(f"The account is being moved to {moved_to}; use this address.")
        return accounts

    async def _is_served_there(self, account_id: UUID) -> bool:
        async with self.target.database.connection() as connection:
            accounts = await rows.list_accounts(connection, account_id)
        return bool(accounts) and accounts[0].state is None

    async def _check_unchanged_there(self, accounts: Sequence[MovedRow]) -> None:
        """Raises MoveRefused if the target serves the account and has other rows."""
        self.progress.begin("comparing")
        is_served = await self._is_served_there(accounts[0].account_id)
        if is_served and await self._are_different(accounts, lambda name: name not in _LIVE):
            raise MoveRefused(
                "The account was changed in its new deployment. Move it back from there with "
                "`aftertone account move`."
            )

    async def _parent(self, below: UUID | None) -> list[UUID]:
        """Returns the ancestors of the account in the target, its new parent last."""
        async with self.target.database.connection() as connection:
            parent = await rows.get_new_ancestors(connection, below)
        if parent is None:
            raise MoveRefused("The account of --below does not exist in the target.")
        return parent

    async def _check(self, accounts: Sequence[MovedRow]) -> None:
        """Checks before anything is written. Raises MoveRefused."""
        source, target = self.source.keys, self.target.keys
        if source.pepper != target.pepper or not source.encryption.items() <= (
            target.encryption.items()
        ):
            raise MoveRefused(
                "The key ring of the target cannot read the secrets of the account. It needs the "
                "same pepper and all encryption keys of this deployment."
            )
        async with self._both() as (here, there):
            if await newest_migration(here) != await newest_migration(there):
                raise MoveRefused("The deployments have different releases; upgrade one of them.")
            if conflicts := await rows.list_conflicts(there, accounts):
                raise MoveRefused(
                    "The target has accounts with the same id, realm or name: "
                    + ", ".join(conflicts)
                )

    async def _copy_while_writable(self, accounts: Sequence[MovedRow]) -> list[str]:
        """Copies most rows and audio, so that the account is read-only for a shorter time."""
        if accounts[0].state is MoveState.READ_ONLY:
            return []
        self.progress.begin("copying audio")
        missing = await self._copy_audio(accounts)
        self.progress.begin("copying rows")
        await self._copy_differences(accounts)
        return missing

    async def _leave(self, accounts: Sequence[MovedRow]) -> list[str]:
        """Makes the account read-only, copies the rest, and ends it here."""
        ids = _ids(accounts)
        async with self.source.database.transaction() as connection:
            await rows.set_move_state(connection, ids, MoveState.READ_ONLY, self.url)
            if len(await rows.list_accounts(connection, ids[0])) != len(ids):
                raise MoveRefused("An account was created below it meanwhile; run the move again.")
        self.progress.begin("read-only: waiting for running requests and events")
        await self.sleep(self.settle_s)
        await self._wait_for_events(ids)
        for _ in range(_MAX_PASSES):
            self.progress.begin("read-only: copying what has changed")
            await self._copy_differences(accounts)
            missing = await self._copy_audio(accounts)
            if await self._left(accounts):
                return missing
        raise MoveRefused(
            "The rows of the account keep changing. Stop the keeper and the notifiers, and run the "
            "command again."
        )

    async def _wait_for_events(self, ids: Sequence[UUID]) -> None:
        while True:
            async with self.source.database.connection() as connection:
                if not await rows.has_unfinished_work(connection, ids):
                    return
            await self.sleep(_POLL_S)

    async def _left(self, accounts: Sequence[MovedRow]) -> bool:
        """Ends the accounts here if both sides are equal. Their boxes cannot change meanwhile."""
        async with self.source.database.transaction() as connection:
            await rows.lock_boxes(connection, _ids(accounts))
            if await self._are_different(accounts, lambda name: name not in _LIVE):
                return False
            await rows.leave(connection, _ids(accounts), self.url)
        return True

    async def _arrive(self, accounts: Sequence[MovedRow], parent: Sequence[UUID]) -> None:
        """Serves the accounts in the target, with an epoch above that of the source."""
        self.progress.begin("starting in the target")
        await self._copy_differences(accounts, _RECORDS.__contains__)
        async with self.source.database.connection() as connection:
            epoch = await rows.get_epoch(connection)
            tokens = await rows.list_revoked_tokens(connection)
        top = accounts[0].content
        depth = len(top["ancestors"])
        async with self.target.database.transaction() as connection:
            await rows.raise_epoch_above(connection, epoch)
            await rows.put_revoked_tokens(connection, tokens)
            for account in accounts:
                below = [UUID(each) for each in account.content["ancestors"][depth:]]
                ancestors = [*parent, *below]
                await rows.put_account(connection, account, ancestors[-1], ancestors)

    async def _copy_differences(
        self, accounts: Sequence[MovedRow], is_chosen: Callable[[str], bool] = bool
    ) -> None:
        """Makes the chosen tables of the target equal to those of the source."""
        async with self._both() as (here, there):
            tables = [each for each in await rows.list_account_tables(here) if is_chosen(each.name)]
            self.progress.set_total(len(tables) * len(accounts))
            for account in accounts:
                await self._ensure_months(here, there, account.account_id)
                for table in tables:
                    if await _differs(here, there, table, account.account_id):
                        await rows.copy_rows(here, there, table, account.account_id)
                    self.progress.advance(1)

    async def _are_different(
        self, accounts: Sequence[MovedRow], is_chosen: Callable[[str], bool]
    ) -> bool:
        async with self._both() as (here, there):
            tables = [each for each in await rows.list_account_tables(here) if is_chosen(each.name)]
            for account in accounts:
                for table in tables:
                    if await _differs(here, there, table, account.account_id):
                        return True
        return False

    @asynccontextmanager
    async def _both(self) -> AsyncIterator[tuple[Connection, Connection]]:
        async with (
            self.source.database.connection() as here,
            self.target.database.connection() as there,
        ):
            yield here, there

    async def _ensure_months(self, here: Connection, there: Connection, account_id: UUID) -> None:
        for kind, month in await rows.list_months(here, account_id):
            ensure = ensure_month if kind == "messages" else ensure_audit_month
            await ensure(there, month)

    async def _copy_audio(self, accounts: Sequence[MovedRow]) -> list[str]:
        copier = AudioCopier(source=self.source.audio, target=self.target.audio)
        return await copier.copy_all(self._audio(accounts))

    async def _audio(self, accounts: Sequence[MovedRow]) -> AsyncIterator[StoredAudio]:
        async with self.source.database.transaction() as connection:
            for table in await rows.list_account_tables(connection):
                for account in accounts:
                    async for audio in rows.iterate_audio(connection, table, account.account_id):
                        yield audio

    async def _remove(self, connection: Connection, accounts: Sequence[MovedRow]) -> None:
        for account in accounts:
            await rows.erase_rows(connection, account.account_id)
        await rows.erase_accounts(connection, _ids(accounts))


async def _differs(
    here: Connection, there: Connection, table: AccountTable, account_id: UUID
) -> bool:
    digest = await rows.read_digest(here, table, account_id)
    return digest != await rows.read_digest(there, table, account_id)


def _ids(accounts: Sequence[MovedRow]) -> list[UUID]:
    return [account.account_id for account in accounts]
