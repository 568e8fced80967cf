"""The directory: what each process remembers of accounts, users and tokens, and how it hears."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from service.domain.account import AccountFacts, Claims
from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.postgres import accounts, users
from service.postgres.accounts import DirectoryChanges
from service.postgres.pool import Database

log = get_logger(__name__)

# A change takes effect everywhere within 5 s: a beat, and the time that the beat itself takes.
POLL_S = 4.0
# Longer than a transaction on the directory can last, commit included.
_OVERLAP = timedelta(seconds=60)

Key = TypeVar("Key")
Value = TypeVar("Value")


class AccountCache:
    """Answers from memory; looks up once what it does not know; hears of changes on a beat.

    While Postgres is away, what is known stays in use and the rest is DatabaseUnavailable. What
    was looked up just before a change cannot stay: a beat tells each change again for a minute.
    """

    def __init__(
        self,
        database: Database,
        *,
        poll_s: float = POLL_S,
        max_accounts: int = 20_000,
        max_tokens: int = 100_000,
        max_users: int = 100_000,
        max_changes: int = 10_000,
    ) -> None:
        self._database = database
        self._poll_s = poll_s
        self._max_changes = max_changes
        self._accounts: _Recent[UUID, AccountFacts] = _Recent(max_accounts)
        self._revoked: _Recent[UUID, bool] = _Recent(max_tokens)
        self._user_epochs: _Recent[UUID, int] = _Recent(max_users)
        self._applied_until: datetime | None = None
        self._is_stale = False

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator["AccountCache"]:
        """Refreshes in the background until the end. Does not wait for Postgres to be there."""
        task = asyncio.create_task(self._beat(), name="directory beat")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def account(self, account_id: UUID, *, auth_epoch: int = 0) -> AccountFacts | None:
        """The account, at least as new as `auth_epoch`; None when there is none."""
        known = self._accounts.get(account_id)
        if known is not None and known.auth_epoch >= auth_epoch:
            return known
        async with self._database.connection() as connection:
            found = await accounts.account_facts(connection, account_id)
        return None if found is None else self.remember(found)

    async def is_revoked(self, claims: Claims) -> bool:
        known = self._revoked.get(claims.token_id)
        if known is not None:
            return known
        async with self._database.connection() as connection:
            revoked = await accounts.is_revoked(connection, claims.token_id)
        # The beat or this process may have heard more while the answer was on its way.
        revoked = revoked or self._revoked.get(claims.token_id) is True
        self._revoked.put(claims.token_id, revoked)
        return revoked

    async def user_epoch(self, claims: Claims) -> int | None:
        """The epoch of the tokens of the user who `claims` are of, at least as new as theirs."""
        user_id, at_least = claims.owner_id, claims.user_epoch or 0
        if user_id is None:
            return None
        known = self._user_epochs.get(user_id)
        if known is not None and known >= at_least:
            return known
        async with self._database.connection() as connection:
            found = await users.user_epoch(connection, claims.account_id, user_id)
        # Without a row there never was such a user: nothing to remember.
        return None if found is None else self.remember_user(user_id, found)

    def remember_user(self, user_id: UUID, epoch: int) -> int:
        """Remembers the epoch of a user's tokens unless a later one is known; the later one."""
        epoch = max(epoch, self._user_epochs.get(user_id) or 0)
        self._user_epochs.put(user_id, epoch)
        return epoch

    def remember(self, account: AccountFacts) -> AccountFacts:
        """Remembers an account unless a newer state of it is known; the newer of the two."""
        known = self._accounts.get(account.account_id)
        if known is not None and known.revision > account.revision:
            return known
        self._accounts.put(account.account_id, account)
        return account

    def forget(self, account_id: UUID) -> None:
        """The account was deleted."""
        self._accounts.drop(account_id)

    def remember_revoked(self, token_id: UUID) -> None:
        self._revoked.put(token_id, True)

    async def refresh(self) -> None:
        """Hears what changed since the last time. Raises DatabaseUnavailable."""
        async with self._database.connection() as connection:
            since = self._applied_until or await accounts.directory_clock(connection)
            changes = await accounts.directory_changes(
                connection, since, overlap=_OVERLAP, limit=self._max_changes
            )
        if self._applied_until is None or not changes.complete:
            # Nobody can tell what changed since this was looked up, so it is looked up again.
            self._accounts.clear()
            self._revoked.clear()
            self._user_epochs.clear()
        self._apply(changes)

    def _apply(self, changes: DirectoryChanges) -> None:
        for account in changes.accounts:
            if account.account_id in self._accounts:
                self.remember(account)
        for account_id in changes.deleted:
            self._accounts.drop(account_id)
        for token_id in changes.revoked:
            if token_id in self._revoked:
                self._revoked.put(token_id, True)
        for user_id, epoch in changes.users:
            if user_id in self._user_epochs:
                self.remember_user(user_id, epoch)
        self._applied_until = changes.moment

    async def _beat(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception as error:  # whatever it is, the next beat may fare better
                self._note_failure(error)
            else:
                self._note_success()
            await asyncio.sleep(self._poll_s)

    def _note_failure(self, error: Exception) -> None:
        if not self._is_stale:
            log.warning(
                "Account changes cannot be heard; what is known stays in use.",
                exc_info=None if isinstance(error, DatabaseUnavailable) else error,
                reason=str(error),
            )
        self._is_stale = True

    def _note_success(self) -> None:
        if self._is_stale:
            log.info("Account changes are heard again.")
        self._is_stale = False


class _Recent(Generic[Key, Value]):
    """The most recently used entries, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Value | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def drop(self, key: Key) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()
