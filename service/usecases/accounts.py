"""Accounts: making, reading, changing and deleting them, and the API key of each."""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.account import FIELDS, Account, Caller, validate_account
from service.domain.clock import utc_now
from service.domain.errors import (
    AccountHasChildren,
    AccountIsRoot,
    AccountNotFound,
    Invalid,
)
from service.domain.message import parse_hex_id, uuid7
from service.domain.page import NameCursor, Page
from service.domain.schema import Document, Fields, merge
from service.postgres import accounts as rows
from service.postgres import users as user_rows
from service.postgres import webhooks as webhook_rows
from service.postgres.accounts import StoredKey
from service.postgres.pool import Connection, Database
from service.security import SecretBox, new_api_key
from service.usecases.account_cache import AccountCache
from service.usecases.optimistic_update import retry_on_conflict
from service.usecases.pages import read_page
from service.usecases.sessions import Sessions

_CHUNK = 500
# An account is deleted with all its boxes in one transaction: longer than other statements may
# take, shorter than a request may.
_DELETION_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Each use case asks for the right of access first. What changes is learned here at once."""

    database: Database
    account_cache: AccountCache
    sessions: Sessions
    secrets: SecretBox
    clock: Callable[[], datetime] = utc_now

    async def create_root(self, name: str, realm: str) -> Account:
        """The root account: made now, or as it is when there is one, whatever its name."""
        document, problems = validate_account({"name": name, "realm": realm})
        if problems:
            raise Invalid(problems)
        account_id = self._new_id()
        async with self.database.transaction() as connection:
            await rows.insert_root(connection, account_id, document, self._stored(account_id))
            root = await rows.root_id(connection)
            return await _read(connection, root or account_id)

    async def create_child(
        self, caller: Caller, parent_id: UUID, document: Document, fields: Fields = FIELDS
    ) -> Account:
        """A new account below `parent_id`, by the rules of `fields`. Invalid tells every problem at
        once."""
        await self.sessions.authorise(caller, parent_id)
        account_id = self._new_id()
        async with self.database.transaction() as connection:
            checked = await _checked(connection, document, fields)
            key = self._stored(account_id)
            await rows.insert_child(connection, account_id, parent_id, checked, key)
            return await _read(connection, account_id)

    async def get(self, caller: Caller, account_id: UUID) -> Account:
        await self.sessions.authorise(caller, account_id)
        async with self.database.connection() as connection:
            return await _read(connection, account_id)

    async def find(self, caller: Caller, named: str) -> Account:
        """The account that an id, a realm or a name names. Raises AccountNotFound, Forbidden."""
        account_id = parse_hex_id(named.replace("-", "").lower())
        if account_id is None:
            async with self.database.connection() as connection:
                facts = await rows.facts_by_realm(connection, named)
                facts = facts or await rows.facts_by_name(connection, named)
            if facts is None:
                raise AccountNotFound(named)
            account_id = facts.account_id
        return await self.get(caller, account_id)

    async def iterate_descendants(self, caller: Caller, account_id: UUID) -> AsyncIterator[Account]:
        """All accounts below one, by name."""
        start = None
        while True:
            page = await self.list_descendants(caller, account_id, start, _CHUNK, deep=True)
            for account in page.items:
                yield account
            if page.next is None:
                return
            start = page.next

    async def list_descendants(
        self,
        caller: Caller,
        account_id: UUID,
        start: NameCursor | None,
        limit: int,
        *,
        deep: bool,
        descending: bool = False,
        predicate: Callable[[Account], bool] | None = None,
    ) -> Page[Account, NameCursor]:
        """A page of an account's children, or (`deep`) of all accounts below it, by name."""
        await self.sessions.authorise(caller, account_id)

        async def read(start: NameCursor | None, limit: int) -> list[Account]:
            async with self.database.connection() as connection:
                return await rows.list_descendants(
                    connection, account_id, start, limit, deep=deep, descending=descending
                )

        return await read_page(read, _key_of, start, limit, predicate)

    async def replace(
        self, caller: Caller, account_id: UUID, document: Document, fields: Fields = FIELDS
    ) -> Account:
        """Puts another document in place of an account's. Raises as `patch` does."""
        return await self._change(caller, account_id, lambda _: document, fields)

    async def patch(
        self, caller: Caller, account_id: UUID, changes: Document, fields: Fields = FIELDS
    ) -> Account:
        """Merges changes into an account; null deletes. Here at once, elsewhere with a beat.

        Raises AccountNotFound, Invalid with every problem, EditConflict.
        """
        return await self._change(
            caller, account_id, lambda document: merge(document, changes), fields
        )

    async def delete(self, caller: Caller, account_id: UUID) -> Account:
        """Deletes an account with its users and boxes; returns it as it was.

        From then on its boxes, its users and its API key are gone in every process; the keeper
        removes the messages as it does those of any deleted box. Only the account itself may
        still be shown by other processes until their next beat.

        Raises AccountNotFound, AccountHasChildren, AccountIsRoot.
        """
        await self.sessions.authorise(caller, account_id)
        async with self.database.transaction() as connection:
            account = await rows.lock_account(connection, account_id)
            if account is None:
                raise AccountNotFound(account_id.hex)
            if account.is_root:
                raise AccountIsRoot
            if await rows.has_children(connection, account_id):
                raise AccountHasChildren
            await rows.delete_account(connection, account_id, _DELETION_S)
            await user_rows.delete_users_of_account(connection, account_id, _DELETION_S)
            await webhook_rows.end_webhooks_of_account(connection, account_id)
        self.account_cache.forget(account_id)
        return account

    async def api_key(self, caller: Caller, account_id: UUID) -> str:
        await self.sessions.authorise(caller, account_id)
        async with self.database.connection() as connection:
            sealed = await rows.sealed_api_key(connection, account_id)
        if sealed is None:
            raise AccountNotFound(account_id.hex)
        return self.secrets.open(sealed, _key_context(account_id))

    async def renew_api_key(self, caller: Caller, account_id: UUID) -> str:
        """A new API key. The old one and every token of the account, the caller's too, end."""
        await self.sessions.authorise(caller, account_id)
        key = new_api_key()
        async with self.database.connection() as connection:
            changed = await rows.replace_api_key(
                connection, account_id, self._stored(account_id, key)
            )
        if changed is None:
            raise AccountNotFound(account_id.hex)
        self.account_cache.remember(changed)
        return key

    async def _change(
        self,
        caller: Caller,
        account_id: UUID,
        change: Callable[[Document], Document],
        fields: Fields,
    ) -> Account:
        await self.sessions.authorise(caller, account_id)

        async def attempt() -> Account | None:
            async with self.database.connection() as connection:
                before = await _read(connection, account_id)
                checked = await _checked(connection, change(before.document), fields, account_id)
                return await rows.update_account(connection, before, checked)

        changed = await retry_on_conflict(attempt)
        self.account_cache.remember(changed.facts)
        return changed

    def _new_id(self) -> UUID:
        return uuid7(self.clock(), os.urandom(10))

    def _stored(self, account_id: UUID, key: str | None = None) -> StoredKey:
        key = key or new_api_key()
        return StoredKey(
            lookup=self.secrets.fingerprint("api_key", key),
            sealed=self.secrets.seal(key, _key_context(account_id)),
        )


async def _read(connection: Connection, account_id: UUID) -> Account:
    account = await rows.read_account(connection, account_id)
    if account is None:
        raise AccountNotFound(account_id.hex)
    return account


async def _checked(
    connection: Connection, document: Document, fields: Fields, account_id: UUID | None = None
) -> Document:
    """The document as it is stored. Invalid tells all that is wrong, what is taken included."""
    checked, problems = validate_account(document, fields)
    problems += await rows.name_and_realm_taken(
        connection, document.get("name"), document.get("realm"), account_id
    )
    if problems:
        raise Invalid(problems)
    return checked


def _key_of(account: Account) -> NameCursor:
    return NameCursor(account.name, account.account_id)


def _key_context(account_id: UUID) -> bytes:
    return b"api_key:" + account_id.bytes
