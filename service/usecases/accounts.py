"""Use cases of accounts: create, read, list, change, delete, and their API keys."""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.account import FIELDS, Account, Caller, validate_account
from service.domain.audit import Action
from service.domain.clock import utc_now
from service.domain.erasure import ErasureKind
from service.domain.errors import (
    AccountHasChildren,
    AccountIsRoot,
    AccountNotFound,
    Invalid,
    LimitsForbidden,
)
from service.domain.message import parse_hex_id, uuid7
from service.domain.page import NameCursor, Page
from service.domain.retention import rule_of
from service.domain.schema import Document, Fields, merge, new_problems
from service.domain.sealed_secret import SecretPurpose
from service.postgres import accounts as rows
from service.postgres import users as user_rows
from service.postgres import webhooks as webhook_rows
from service.postgres.accounts import StoredKey
from service.postgres.api_keys import revoke_api_keys_of_account
from service.postgres.audit import insert_change
from service.postgres.erasures import check_holds, insert_erasure
from service.postgres.pool import Connection, Database
from service.security import SecretBox, new_api_key
from service.usecases.account_cache import AccountCache
from service.usecases.optimistic_update import retry_on_conflict
from service.usecases.pages import CHUNK, iterate_pages, read_documents
from service.usecases.sessions import Sessions

# Timeout of a deletion, which removes all mailboxes in one transaction. It is longer than the
# timeout of other statements and shorter than the deadline of a request.
_DELETION_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Use cases of accounts. Each one checks access first. Changes take effect here at once."""

    database: Database
    account_cache: AccountCache
    sessions: Sessions
    secrets: SecretBox
    clock: Callable[[], datetime] = utc_now

    async def create_root(self, name: str, realm: str) -> Account:
        """Creates the root account, or returns the existing one, even if its name differs."""
        document, problems = validate_account({"name": name, "realm": realm})
        if problems:
            raise Invalid(problems)
        account_id = uuid7(self.clock())
        async with self.database.transaction() as connection:
            await rows.insert_root(connection, account_id, document, self._key_columns(account_id))
            root = await rows.get_root_id(connection)
            return await _read(connection, root or account_id)

    async def create_child(
        self,
        caller: Caller,
        parent_id: UUID,
        document: Document,
        fields: Fields = FIELDS,
        account_id: UUID | None = None,
    ) -> Account:
        """Creates an account below `parent_id`. An import chooses the `account_id`.

        Raises Invalid with all problems.
        """
        await self.sessions.authorise(caller, parent_id)
        account_id = account_id or uuid7(self.clock())
        async with self.database.transaction() as connection:
            checked = await _validate(connection, document, fields)
            key = self._key_columns(account_id)
            await rows.insert_child(connection, account_id, parent_id, checked, key)
            return await _read(connection, account_id)

    async def get(self, caller: Caller, account_id: UUID) -> Account:
        await self.sessions.authorise(caller, account_id)
        async with self.database.connection() as connection:
            return await _read(connection, account_id)

    async def find(self, caller: Caller, reference: str) -> Account:
        """Returns an account by id, realm or name. Raises AccountNotFound, Forbidden."""
        account_id = parse_hex_id(reference.replace("-", "").lower())
        if account_id is None:
            async with self.database.connection() as connection:
                facts = await rows.find_facts_by_realm(connection, reference)
                facts = facts or await rows.find_facts_by_name(connection, reference)
            if facts is None:
                raise AccountNotFound(reference)
            account_id = facts.account_id
        return await self.get(caller, account_id)

    def iterate_descendants(self, caller: Caller, account_id: UUID) -> AsyncIterator[Account]:
        """Yields all descendants of an account, by name."""
        return iterate_pages(
            lambda start: self.list_descendants(caller, account_id, start, CHUNK, deep=True)
        )

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
        keys: Collection[str] | None = None,
    ) -> Page[Account, NameCursor]:
        """Returns a page of child accounts by name. With `deep`, returns all descendants."""
        await self.sessions.authorise(caller, account_id)

        async def read(start: NameCursor | None, limit: int) -> list[Account]:
            async with self.database.connection() as connection:
                return await rows.list_descendants(
                    connection, account_id, start, limit, deep=deep, descending=descending
                )

        return await read_documents(read, _cursor_of, start, limit, predicate, keys)

    async def patch(
        self, caller: Caller, account_id: UUID, changes: Document, fields: Fields = FIELDS
    ) -> Account:
        """Merges changes into an account; null deletes a key. Other processes see it within 5 s.

        Raises AccountNotFound, Invalid with all problems, EditConflict.
        """
        return await self.change(
            caller, account_id, lambda document: merge(document, changes), fields
        )

    async def delete(
        self, caller: Caller, account_id: UUID, erasure_id: UUID | None = None
    ) -> Account:
        """Deletes an account with its users and mailboxes; returns its last state.

        Every process refuses its mailboxes, users and API key at once. The keeper deletes
        the messages later. Other processes may show the account itself until their next poll.
        With `erasure_id`, a job with this id erases all data of the account at once; without it,
        the keeper begins that job after the trash days.

        Raises AccountNotFound, AccountHasChildren, AccountIsRoot, DeletionHeld.
        """
        await self.sessions.authorise(caller, account_id)
        async with self.database.transaction() as connection:
            account = await rows.lock_account_for_update(connection, account_id)
            if account is None:
                raise AccountNotFound(account_id.hex)
            if account.is_root:
                raise AccountIsRoot
            if await rows.has_children(connection, account_id):
                raise AccountHasChildren
            await check_holds(connection, account_id)
            await rows.delete_account(connection, account_id, _DELETION_S)
            await user_rows.delete_users_of_account(connection, account_id, _DELETION_S)
            await webhook_rows.end_webhooks_of_account(connection, account_id)
            await revoke_api_keys_of_account(connection, account_id)
            # In the audit of the parent, because the audit of a deleted account cannot be read.
            parent_id = account.ancestors[-1]
            await insert_change(connection, parent_id, Action.ACCOUNT_DELETED, account_id)
            if erasure_id is not None:
                await insert_erasure(
                    connection, parent_id, erasure_id, account_id, ErasureKind.ACCOUNT
                )
                await insert_change(connection, parent_id, Action.ERASURE_CREATED, erasure_id)
        self.account_cache.remove(account_id)
        return account

    async def get_api_key(self, caller: Caller, account_id: UUID) -> str:
        await self.sessions.authorise(caller, account_id)
        async with self.database.connection() as connection:
            sealed = await rows.get_sealed_api_key(connection, account_id)
        if sealed is None:
            raise AccountNotFound(account_id.hex)
        self.sessions.audit.record(Action.API_KEY_READ, account_id)
        return self.secrets.open(sealed, SecretPurpose.API_KEY.context(account_id))

    async def renew_api_key(self, caller: Caller, account_id: UUID) -> str:
        """Returns a new API key. The old key and all tokens of the account become invalid."""
        await self.sessions.authorise(caller, account_id)
        key = new_api_key()
        async with self.database.transaction() as connection:
            changed = await rows.replace_api_key(
                connection, account_id, self._key_columns(account_id, key)
            )
        if changed is None:
            raise AccountNotFound(account_id.hex)
        self.account_cache.store(changed)
        return key

    async def change(
        self,
        caller: Caller,
        account_id: UUID,
        change: Callable[[Document], Document],
        fields: Fields = FIELDS,
    ) -> Account:
        """Applies `change` to the document of an account and stores it. Raises as `patch`."""
        await self.sessions.authorise(caller, account_id)

        async def attempt() -> Account | None:
            async with self.database.transaction() as connection:
                before = await _read(connection, account_id)
                checked = await _apply(connection, caller, before, change, fields)
                return await rows.update_account(connection, before, checked)

        changed = await retry_on_conflict(attempt)
        self.account_cache.store(changed.facts)
        return changed

    async def preview(
        self,
        caller: Caller,
        account_id: UUID,
        change: Callable[[Document], Document],
        fields: Fields = FIELDS,
    ) -> Account:
        """Returns an account as `change` would make it. Writes nothing. Raises as `patch`."""
        await self.sessions.authorise(caller, account_id)
        async with self.database.connection() as connection:
            before = await _read(connection, account_id)
            document = await _apply(connection, caller, before, change, fields)
        return msgspec.structs.replace(
            before,
            document=document,
            retention=rule_of(document),
            limits=document.get("limits", {}),
        )

    def _key_columns(self, account_id: UUID, key: str | None = None) -> StoredKey:
        key = key or new_api_key()
        return StoredKey(
            lookup=self.secrets.fingerprint("api_key", key),
            sealed=self.secrets.seal(key, SecretPurpose.API_KEY.context(account_id)),
        )


async def _apply(
    connection: Connection,
    caller: Caller,
    before: Account,
    change: Callable[[Document], Document],
    fields: Fields,
) -> Document:
    """Returns the changed document. Raises Invalid, LimitsForbidden."""
    document = change(before.document)
    if caller.account.account_id == before.account_id and not before.is_root:
        document = _keep_limits(before, document)
    return await _validate(connection, document, fields, before)


def _keep_limits(before: Account, document: Document) -> Document:
    """Returns the document with the account's limits. Raises LimitsForbidden if it has others."""
    limits = {"limits": before.document["limits"]} if "limits" in before.document else {}
    if document.get("limits", before.document.get("limits")) != limits.get("limits"):
        raise LimitsForbidden
    return {**document, **limits}


async def _read(connection: Connection, account_id: UUID) -> Account:
    account = await rows.read_account(connection, account_id)
    if account is None:
        raise AccountNotFound(account_id.hex)
    return account


async def _validate(
    connection: Connection, document: Document, fields: Fields, before: Account | None = None
) -> Document:
    """Returns the document to store. Raises Invalid with all problems, such as a used name."""
    checked, broken = validate_account(document, fields)
    problems = new_problems(broken, before.document if before else {})
    problems += await rows.find_name_and_realm_conflicts(
        connection,
        document.get("name"),
        document.get("realm"),
        before.account_id if before else None,
    )
    if problems:
        raise Invalid(problems)
    return checked


def _cursor_of(account: Account) -> NameCursor:
    return NameCursor(account.name, account.account_id)
