"""Cache of accounts, users, API keys and token revocations, refreshed by polling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from uuid import UUID

from cachetools import LRUCache, TTLCache

from service.domain.account import AccountFacts, Claims
from service.domain.api_key import ApiKey
from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.postgres import accounts, api_keys, users
from service.postgres.accounts import DirectoryChanges
from service.postgres.pool import Database
from service.postgres.users import UserRights
from service.tasks import background_task

log = get_logger(__name__)

# A change takes effect in every process within 5 s: the poll interval, the time of one poll, and
# the interval in which event streams authenticate again.
POLL_S = 2.5
_RIGHTS_S = 2.5
_KEY_USE_INTERVAL_S = 60.0
# Longer than a transaction that changes accounts can last, commit included.
_OVERLAP = timedelta(seconds=60)


class AccountCache:
    """Answers from memory and reads missing entries from the database.

    While the database is unavailable, cached entries stay in use; a missing entry raises
    DatabaseUnavailable. Each poll applies the changes of the last minute again, so an entry that
    was read just before a change does not stay.
    """

    def __init__(
        self,
        database: Database,
        *,
        poll_s: float = POLL_S,
        max_accounts: int = 20_000,
        max_tokens: int = 100_000,
        max_users: int = 100_000,
        max_keys: int = 10_000,
        max_rights: int = 10_000,
        max_changes: int = 10_000,
    ) -> None:
        self._database = database
        self._poll_s = poll_s
        self._max_changes = max_changes
        self._accounts: LRUCache[UUID, AccountFacts] = LRUCache(max_accounts)
        self._revoked: LRUCache[UUID, bool] = LRUCache(max_tokens)
        self._user_epochs: LRUCache[UUID, int] = LRUCache(max_users)
        self._rights: TTLCache[UUID, UserRights] = TTLCache(max_rights, _RIGHTS_S)
        self._keys: LRUCache[UUID, ApiKey | None] = LRUCache(max_keys)
        self._used_keys: TTLCache[UUID, bool] = TTLCache(max_keys, _KEY_USE_INTERVAL_S)
        self._applied_until: datetime | None = None
        self._is_stale = False

    @asynccontextmanager
    async def poll_in_background(self) -> AsyncIterator["AccountCache"]:
        """Refreshes the cache in the background. Does not wait for the database at the start."""
        async with background_task(self._poll(), "account cache"):
            yield self

    async def get_account(self, account_id: UUID, *, auth_epoch: int = 0) -> AccountFacts | None:
        """Returns the account at `auth_epoch` or later; None when it does not exist."""
        cached = self._accounts.get(account_id)
        if cached is not None and cached.auth_epoch >= auth_epoch:
            return cached
        async with self._database.connection() as connection:
            stored = await accounts.get_account_facts(connection, account_id)
        return None if stored is None else self.store(stored)

    async def is_revoked(self, claims: Claims) -> bool:
        cached = self._revoked.get(claims.token_id)
        if cached is not None:
            return cached
        async with self._database.connection() as connection:
            revoked = await accounts.is_revoked(connection, claims.token_id)
        # The token may have been revoked while the query ran.
        revoked = revoked or self._revoked.get(claims.token_id) is True
        self._revoked[claims.token_id] = revoked
        return revoked

    async def get_user_epoch(self, claims: Claims) -> int | None:
        """Returns the token epoch of the user of `claims`, not lower than the one in `claims`.

        Returns None for claims without a user and for a user who never existed.
        """
        user_id, least_epoch = claims.owner_id, claims.user_epoch or 0
        if user_id is None:
            return None
        cached = self._user_epochs.get(user_id)
        if cached is not None and cached >= least_epoch:
            return cached
        async with self._database.connection() as connection:
            stored = await users.get_user_epoch(connection, claims.account_id, user_id)
        return None if stored is None else self.remember_user(user_id, stored)

    async def get_user_rights(self, account_id: UUID, user_id: UUID) -> UserRights:
        """Returns the rights of a user, at most 2.5 s old."""
        cached = self._rights.get(user_id)
        if cached is None:
            async with self._database.connection() as connection:
                cached = await users.get_user_rights(connection, account_id, user_id)
            self._rights[user_id] = cached
        return cached

    def forget_user_rights(self, user_id: UUID) -> None:
        self._rights.pop(user_id, None)

    async def get_api_key(self, account_id: UUID, key_id: UUID) -> ApiKey | None:
        """Returns a named API key and records its use; None when it is revoked."""
        if key_id not in self._keys:
            async with self._database.connection() as connection:
                stored = await api_keys.get_api_key(connection, account_id, key_id)
            # The key may have been revoked while the query ran.
            self._keys.setdefault(key_id, stored)
        key = self._keys[key_id]
        if key is not None and key_id not in self._used_keys:
            self._used_keys[key_id] = True
            with suppress(DatabaseUnavailable):
                async with self._database.connection() as connection:
                    await api_keys.record_api_key_use(connection, account_id, key_id)
        return key

    def remember_revoked_key(self, key_id: UUID) -> None:
        self._keys[key_id] = None

    def remember_user(self, user_id: UUID, epoch: int) -> int:
        """Caches the token epoch of a user unless a later one is cached; returns the later one."""
        epoch = max(epoch, self._user_epochs.get(user_id) or 0)
        self._user_epochs[user_id] = epoch
        return epoch

    def store(self, account: AccountFacts) -> AccountFacts:
        """Caches an account unless a later state is cached; returns the later one.

        `has_vmbox_retention` becomes true without a new revision, and stays true.
        """
        cached = self._accounts.get(account.account_id)
        if cached is not None and _age(cached) > _age(account):
            return cached
        self._accounts[account.account_id] = account
        return account

    def remove(self, account_id: UUID) -> None:
        self._accounts.pop(account_id, None)

    def store_revoked(self, token_id: UUID) -> None:
        self._revoked[token_id] = True

    async def refresh(self) -> None:
        """Applies the changes since the last refresh. Raises DatabaseUnavailable."""
        async with self._database.connection() as connection:
            since = self._applied_until or await accounts.get_directory_time(connection)
            changes = await accounts.list_directory_changes(
                connection, since, overlap=_OVERLAP, limit=self._max_changes
            )
        if self._applied_until is None or not changes.complete:
            # Entries may have changed since they were read, without a record in `changes`.
            self._accounts.clear()
            self._revoked.clear()
            self._user_epochs.clear()
            self._keys.clear()
        self._apply(changes)

    def _apply(self, changes: DirectoryChanges) -> None:
        if any(map(self._was_elsewhere, changes.accounts)):
            # Its users and keys may have changed in another deployment, at earlier times.
            self._user_epochs.clear()
            self._keys.clear()
        for account in changes.accounts:
            if account.account_id in self._accounts:
                self.store(account)
        for account_id in changes.deleted:
            self.remove(account_id)
        for token_id in changes.revoked:
            if token_id in self._revoked:
                self.store_revoked(token_id)
        for user_id, epoch in changes.users:
            if user_id in self._user_epochs:
                self.remember_user(user_id, epoch)
        for key_id in changes.revoked_keys:
            if key_id in self._keys:
                self.remember_revoked_key(key_id)
        self._applied_until = changes.moment

    def _was_elsewhere(self, account: AccountFacts) -> bool:
        """Returns whether another deployment may serve the account now, or may have served it."""
        cached = self._accounts.get(account.account_id)
        return account.move_state is not None or (
            cached is not None and cached.move_state is not None
        )

    async def _poll(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception as error:  # the next poll may succeed, whatever the cause
                self._note_failure(error)
            else:
                if self._is_stale:
                    log.info("account cache refresh recovered")
                self._is_stale = False
            await asyncio.sleep(self._poll_s)

    def _note_failure(self, error: Exception) -> None:
        if not self._is_stale:
            log.warning(
                "account cache refresh failed",
                exc_info=None if isinstance(error, DatabaseUnavailable) else error,
                reason=str(error),
            )
        self._is_stale = True


def _age(account: AccountFacts) -> tuple[int, bool]:
    """Returns a key that is greater for later states of an account."""
    return account.revision, account.has_vmbox_retention
