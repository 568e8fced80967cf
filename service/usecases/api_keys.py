"""Use cases of named API keys: create, read, list, revoke."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.access import Permission
from service.domain.account import NO_QUOTAS, AccountFacts, Quota, Quotas
from service.domain.api_key import MAX_API_KEYS, ApiKey
from service.domain.audit import Action
from service.domain.errors import ApiKeyNotFound, Invalid, Rule
from service.domain.message import uuid7
from service.domain.page import NameCursor, Page
from service.postgres import api_keys as rows
from service.postgres.accounts import lock_account_for_share
from service.postgres.audit import insert_change
from service.postgres.batches import filter_existing_vmboxes
from service.postgres.pool import Database
from service.security import SecretBox, new_api_key
from service.usecases.account_cache import AccountCache
from service.usecases.pages import read_page


@dataclass(frozen=True, kw_only=True)
class ApiKeys:
    """Use cases of named API keys. `clock` returns aware UTC."""

    database: Database
    account_cache: AccountCache
    secrets: SecretBox
    clock: Callable[[], datetime]
    quotas: Quotas = NO_QUOTAS

    async def create(
        self,
        account: AccountFacts,
        name: str,
        scopes: Sequence[Permission],
        vmbox_ids: Sequence[UUID] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Creates a key. Returns it with the secret, which is stored only as a keyed hash.

        Raises Invalid for an unknown mailbox or a past expiry, TooManyApiKeys, AccountNotFound.
        """
        if expires_at is not None and expires_at <= self.clock():
            raise Invalid.of("expires", Rule.DATE_RANGE)
        secret = new_api_key()
        key = ApiKey(
            account_id=account.account_id,
            key_id=uuid7(self.clock()),
            name=name,
            scopes=tuple(dict.fromkeys(scopes)),
            vmbox_ids=None if vmbox_ids is None else tuple(dict.fromkeys(vmbox_ids)),
            created_at=self.clock(),
            expires_at=expires_at,
            last_used_at=None,
        )
        async with self.database.transaction() as connection:
            await lock_account_for_share(connection, account.account_id)
            ids = key.vmbox_ids or ()
            existing = await filter_existing_vmboxes(connection, account.account_id, ids)
            if not set(ids) <= set(existing):
                raise Invalid.of("vmbox_ids", Rule.NOT_FOUND)
            lookup = self.secrets.fingerprint("api_key", secret)
            most = self.quotas.most_of(account, Quota.API_KEYS, MAX_API_KEYS)
            stored = await rows.insert_api_key(connection, key, lookup, most)
            await insert_change(
                connection, account.account_id, Action.API_KEY_CREATED, stored.key_id
            )
        return stored, secret

    async def get(self, account: AccountFacts, key_id: UUID) -> ApiKey:
        """Returns a key. Raises ApiKeyNotFound."""
        async with self.database.connection() as connection:
            key = await rows.get_api_key(connection, account.account_id, key_id)
        if key is None:
            raise ApiKeyNotFound(key_id.hex)
        return key

    async def list(
        self,
        account: AccountFacts,
        start: NameCursor | None,
        limit: int,
        *,
        descending: bool = False,
        predicate: Callable[[ApiKey], bool] | None = None,
    ) -> Page[ApiKey, NameCursor]:
        """Returns a page of keys by name."""

        async def read(start: NameCursor | None, limit: int) -> list[ApiKey]:
            async with self.database.connection() as connection:
                return await rows.list_api_keys(
                    connection, account.account_id, start, limit, descending=descending
                )

        return await read_page(read, _cursor_of, start, limit, predicate)

    async def revoke(self, account: AccountFacts, key_id: UUID) -> ApiKey:
        """Revokes a key and its tokens: here at once, elsewhere within 5 s. Returns the key.

        Raises ApiKeyNotFound.
        """
        async with self.database.transaction() as connection:
            key = await rows.revoke_api_key(connection, account.account_id, key_id)
            await insert_change(connection, account.account_id, Action.API_KEY_REVOKED, key_id)
        self.account_cache.remember_revoked_key(key_id)
        return key


def _cursor_of(key: ApiKey) -> NameCursor:
    return NameCursor(key.name, key.key_id)
