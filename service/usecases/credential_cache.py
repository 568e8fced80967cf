"""Cache of verified credentials, for clients that send them with every request."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import msgspec
from cachetools import LRUCache, TTLCache

from service.domain.account import AccountFacts, Caller
from service.domain.errors import Forbidden, TokenInvalid
from service.domain.user import CredentialMethod, Credentials, digests_of
from service.postgres import accounts as rows
from service.usecases.sessions import Sessions

_LIFETIME_S = 60.0

SignIn = Callable[[], Coroutine[Any, Any, str]]


class CredentialCache:
    """Keeps a token for verified credentials, which are verified again after `lifetime_s`.

    The token never leaves this process. An event that ends tokens (a new password or API key, the
    deletion of a user or an account) therefore ends the cached entry too.
    """

    def __init__(
        self, sessions: Sessions, *, lifetime_s: float = _LIFETIME_S, max_entries: int = 10_000
    ) -> None:
        self._sessions = sessions
        self._tokens: TTLCache[bytes, asyncio.Task[str]] = TTLCache(max_entries, lifetime_s)
        self._account_ids: LRUCache[str, UUID] = LRUCache(max_entries)

    async def authenticate(
        self, account: str, username: str, password: str, *, peer: str
    ) -> Caller:
        """Returns the user of an account; `account` is its name or its realm.

        `peer` is the address of the client. Raises CredentialsInvalid, SignInLocked,
        TooManySignIns.
        """
        key = self._key("pass", account, username, password)
        return await self._verify(key, lambda: self._sign_in_by(account, username, password, peer))

    async def authenticate_by_hash(
        self, account_id: UUID, method: CredentialMethod, digest: str, *, peer: str
    ) -> Caller:
        """Returns the user of an account with these credentials. Raises as `authenticate`."""
        credentials = Credentials(method=method, digest=digest, account_id=account_id)
        key = self._key("pass_by_hash", account_id.hex, method, digest)
        return await self._verify(key, lambda: self._sign_in(credentials, peer=peer))

    async def find_descendant(self, caller: Caller, name: str) -> AccountFacts:
        """Returns the account of a name. Raises Forbidden unless it is a descendant."""
        account = await self._account_by_name(name)
        own = caller.account
        if (
            account is None
            or account.account_id == own.account_id
            or not own.contains(account)
            or not caller.access.is_admin
        ):
            raise Forbidden
        return account

    def _key(self, purpose: str, *parts: str) -> bytes:
        return self._sessions.secrets.fingerprint(purpose, "\0".join(parts))

    async def _verify(self, key: bytes, sign_in: SignIn) -> Caller:
        task = self._tokens.get(key) or self._start(key, sign_in)
        try:
            return await self._caller_of(task)
        except TokenInvalid:
            # Another request may have replaced the token in the meantime.
            current = self._tokens.get(key)
            if current is None or current is task:
                current = self._start(key, sign_in)
            return await self._caller_of(current)

    async def _caller_of(self, task: "asyncio.Task[str]") -> Caller:
        # Shielded: other requests may wait for the same task.
        return await self._sessions.authenticate(await asyncio.shield(task))

    def _start(self, key: bytes, sign_in: SignIn) -> "asyncio.Task[str]":
        task = asyncio.create_task(sign_in())
        self._tokens[key] = task
        task.add_done_callback(lambda done: self._drop_failure(key, done))
        return task

    def _drop_failure(self, key: bytes, task: "asyncio.Task[str]") -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and self._tokens.get(key) is task:
            del self._tokens[key]

    async def _sign_in_by(self, account: str, username: str, password: str, peer: str) -> str:
        method = CredentialMethod.SHA
        digest = digests_of(username, password)[method]
        named = Credentials(method=method, digest=digest, username=username, account_name=account)
        # The name of one account may be the realm of another; both users must be able to sign in.
        by_realm = msgspec.structs.replace(named, account_name=None, realm=account)
        return await self._sign_in(named, by_realm, peer=peer)

    async def _sign_in(self, *candidates: Credentials, peer: str) -> str:
        token, _ = await self._sessions.sign_in_as_user(*candidates, peer=peer)
        return token

    async def _account_by_name(self, name: str) -> AccountFacts | None:
        cache, key = self._sessions.account_cache, name.lower()
        account_id = self._account_ids.get(key)
        account = None if account_id is None else await cache.get_account(account_id)
        if account is not None and account.name.lower() == key:
            return account
        async with self._sessions.database.connection() as connection:
            stored = await rows.find_facts_by_name(connection, name)
        if stored is None:
            return None
        self._account_ids[key] = stored.account_id
        return cache.store(stored)
