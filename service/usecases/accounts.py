"""Accounts and who may speak for them: making them, signing in, tokens, the right of access."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from service.domain.account import (
    Account,
    AccountFacts,
    Caller,
    Claims,
    Method,
    NewAccount,
    problems_of,
)
from service.domain.errors import (
    AccountNotFound,
    CredentialsInvalid,
    Forbidden,
    Invalid,
    TokenInvalid,
    VoicemailError,
)
from service.domain.message import uuid7
from service.postgres import accounts as rows
from service.postgres.accounts import StoredKey
from service.postgres.pool import Connection, Database
from service.security import SecretBox, Tokens, new_api_key
from service.usecases.directory import Directory


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Everything but the look-ups by API key and whole documents is answered by the directory."""

    database: Database
    directory: Directory
    tokens: Tokens
    secrets: SecretBox
    now: Callable[[], datetime] = _utc_now

    async def create_root(self, name: str, realm: str) -> Account:
        """The root account: made now, or as it is when there is one, whatever its name."""
        new = NewAccount.of({"name": name, "realm": realm})
        account_id = self._new_id()
        async with self.database.transaction() as connection:
            await rows.insert_root(connection, account_id, new, self._stored(account_id))
            root = await rows.root_id(connection)
            return await self._whole(connection, root or account_id)

    async def create_child(
        self, caller: Caller, parent_id: UUID, document: Mapping[str, Any]
    ) -> Account:
        """A new account below `parent_id`. Invalid tells every problem at once."""
        await self.authorise(caller, parent_id)
        problems = problems_of(document)
        async with self.database.transaction() as connection:
            problems += await rows.name_and_realm_taken(
                connection, document.get("name"), document.get("realm")
            )
            if problems:
                raise Invalid(problems)
            account_id = self._new_id()
            await rows.insert_child(
                connection, account_id, parent_id, NewAccount.of(document), self._stored(account_id)
            )
            return await self._whole(connection, account_id)

    async def get(self, caller: Caller, account_id: UUID) -> Account:
        await self.authorise(caller, account_id)
        async with self.database.connection() as connection:
            return await self._whole(connection, account_id)

    async def api_key(self, caller: Caller, account_id: UUID) -> str:
        await self.authorise(caller, account_id)
        async with self.database.connection() as connection:
            sealed = await rows.sealed_api_key(connection, account_id)
        if sealed is None:
            raise AccountNotFound(account_id.hex)
        return self.secrets.open(sealed, _key_context(account_id))

    async def renew_api_key(self, caller: Caller, account_id: UUID) -> str:
        """A new API key. The old one and every token of the account, the caller's too, end."""
        await self.authorise(caller, account_id)
        key = new_api_key()
        async with self.database.connection() as connection:
            changed = await rows.replace_api_key(
                connection, account_id, self._stored(account_id, key)
            )
        if changed is None:
            raise AccountNotFound(account_id.hex)
        self.directory.learn(changed)
        return key

    async def sign_in_with_api_key(self, api_key: str) -> tuple[str, AccountFacts]:
        """A token for the account of that key; CredentialsInvalid when there is none."""
        lookup = self.secrets.fingerprint("api_key", api_key)
        async with self.database.connection() as connection:
            account = await rows.facts_by_api_key(connection, lookup)
        if account is None:
            raise CredentialsInvalid
        self.directory.learn(account)
        return self._issue(account, Method.API_KEY), account

    async def operator(self) -> Caller:
        """The root account's caller without a token, for whoever holds the database anyway."""
        async with self.database.connection() as connection:
            root = await rows.root_id(connection)
        account = None if root is None else await self.directory.account(root)
        if account is None:
            raise AccountNotFound
        return Caller(account)

    async def issue_token(self, caller: Caller, account_id: UUID, lifetime_s: int) -> str:
        """A token for an account within the caller's reach, of a lifetime of its own."""
        account = await self.authorise(caller, account_id)
        return self._issue(account, Method.OPERATOR, lifetime_s)

    async def authenticate(self, token: str) -> Caller:
        """Who presents `token`; TokenInvalid when it is not valid, over, revoked or overtaken."""
        claims = self.tokens.verify(token, self.now())
        # An epoch above the remembered one: the token is newer than what this process has heard.
        account = await self.directory.account(claims.account_id, auth_epoch=claims.auth_epoch)
        if account is None or account.auth_epoch != claims.auth_epoch:
            raise TokenInvalid
        if await self.directory.is_revoked(claims):
            raise TokenInvalid
        return Caller(account, claims)

    async def authorise(self, caller: Caller, account_id: UUID) -> AccountFacts:
        """The account, when it is the caller's own or below it; else Forbidden.

        That an account does not exist is told to the root account only (AccountNotFound): for
        all others it looks like a foreign one.
        """
        if account_id == caller.account.account_id:
            return caller.account
        account = await self.directory.account(account_id)
        if account is None:
            raise _unknown(caller, account_id)
        if not caller.account.reaches(account):
            raise Forbidden
        return account

    async def revoke(self, claims: Claims) -> None:
        """Ends one token: here at once, in other processes with their next beat."""
        async with self.database.connection() as connection:
            await rows.revoke_token(connection, claims)
        self.directory.learn_revoked(claims.token_id)

    async def _whole(self, connection: Connection, account_id: UUID) -> Account:
        account = await rows.read_account(connection, account_id)
        if account is None:
            raise AccountNotFound(account_id.hex)
        return account

    def _issue(self, account: AccountFacts, method: Method, lifetime_s: int | None = None) -> str:
        token, _ = self.tokens.issue(
            account.account_id,
            auth_epoch=account.auth_epoch,
            method=method,
            now=self.now(),
            lifetime_s=lifetime_s,
        )
        return token

    def _new_id(self) -> UUID:
        return uuid7(self.now(), os.urandom(10))

    def _stored(self, account_id: UUID, key: str | None = None) -> StoredKey:
        key = key or new_api_key()
        return StoredKey(
            lookup=self.secrets.fingerprint("api_key", key),
            sealed=self.secrets.seal(key, _key_context(account_id)),
        )


def _key_context(account_id: UUID) -> bytes:
    return b"api_key:" + account_id.bytes


def _unknown(caller: Caller, account_id: UUID) -> VoicemailError:
    return AccountNotFound(account_id.hex) if caller.account.is_root else Forbidden()
