"""Credentials that come with every request: proved once a minute, over at once with their user."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts, Caller
from service.domain.errors import CredentialsInvalid, Forbidden, TokenInvalid
from service.domain.user import CredentialMethod, Credentials, digests_of
from service.postgres import accounts as rows
from service.usecases.sessions import Sessions

_LIFETIME_S = 60.0

Key = TypeVar("Key")
Value = TypeVar("Value")
Proof = Callable[[], Coroutine[Any, Any, str]]


class _CachedCredential(msgspec.Struct, frozen=True):
    """The token that credentials were good for, or its making; proved again after `until`."""

    token: "asyncio.Task[str]"
    until: float


class CredentialCache:
    """Remembers what was proved. A pass is a token that never leaves this process, so whatever
    ends tokens (another password, another API key, the end of a user or account) ends it too."""

    def __init__(
        self, sessions: Sessions, *, lifetime_s: float = _LIFETIME_S, most: int = 10_000
    ) -> None:
        self._sessions = sessions
        self._lifetime_s = lifetime_s
        self._most = most
        self._passes: dict[bytes, _CachedCredential] = {}
        self._account_ids: dict[str, UUID] = {}

    async def caller(self, account: str, username: str, password: str) -> Caller:
        """The user of an account, which is named by its name or its realm.

        Raises CredentialsInvalid, TooManySignIns.
        """
        key = self._key("pass", account, username, password)
        return await self._proved(key, lambda: self._prove(account, username, password))

    async def caller_by_hash(
        self, account_id: UUID, method: CredentialMethod, digest: str
    ) -> Caller:
        """The user of an account who has these credentials. Raises as `caller`."""
        given = Credentials(method=method, digest=digest, account_id=account_id)
        key = self._key("pass_by_hash", account_id.hex, method, digest)
        return await self._proved(key, lambda: self._sign_in(given))

    async def descendant(self, caller: Caller, name: str) -> AccountFacts:
        """The account of that name. Raises Forbidden unless it is below the caller's own."""
        account = await self._named(name)
        own = caller.account
        if account is None or account.account_id == own.account_id or not own.reaches(account):
            raise Forbidden
        return account

    def _key(self, purpose: str, *parts: str) -> bytes:
        return self._sessions.secrets.fingerprint(purpose, "\0".join(parts))

    async def _proved(self, key: bytes, prove: Proof) -> Caller:
        held = self._pass(key, prove)
        try:
            return await self._judged(held)
        except TokenInvalid:
            return await self._judged(self._pass(key, prove, instead_of=held))

    async def _judged(self, held: _CachedCredential) -> Caller:
        # Shielded: others may wait for the same proof.
        return await self._sessions.authenticate(await asyncio.shield(held.token))

    def _pass(
        self, key: bytes, prove: Proof, instead_of: _CachedCredential | None = None
    ) -> _CachedCredential:
        """What is remembered, or a proof that begins now."""
        now = asyncio.get_running_loop().time()
        held = self._passes.get(key)
        if held is not None and held is not instead_of and now < held.until:
            return held
        proof = asyncio.create_task(prove())
        fresh = _CachedCredential(proof, now + self._lifetime_s)
        _keep(self._passes, key, fresh, self._most)
        proof.add_done_callback(lambda done: self._forget_failure(key, done))
        return fresh

    def _forget_failure(self, key: bytes, done: "asyncio.Task[str]") -> None:
        failed = done.cancelled() or done.exception() is not None
        held = self._passes.get(key)
        if failed and held is not None and held.token is done:
            del self._passes[key]

    async def _prove(self, account: str, username: str, password: str) -> str:
        method = CredentialMethod.SHA
        digest = digests_of(username, password)[method]
        by_name = Credentials(method=method, digest=digest, account_name=account)
        by_realm = Credentials(method=method, digest=digest, realm=account)
        # An account may be called what is another's realm: that must keep nobody out.
        try:
            return await self._sign_in(by_name)
        except CredentialsInvalid:
            return await self._sign_in(by_realm)

    async def _sign_in(self, given: Credentials) -> str:
        token, _ = await self._sessions.sign_in_as_user(given)
        return token

    async def _named(self, name: str) -> AccountFacts | None:
        directory, database = self._sessions.directory, self._sessions.database
        key = name.lower()
        known = self._account_ids.get(key)
        account = None if known is None else await directory.account(known)
        if account is not None and account.name.lower() == key:
            return account
        async with database.connection() as connection:
            found = await rows.facts_by_name(connection, name)
        if found is None:
            return None
        _keep(self._account_ids, key, found.account_id, self._most)
        return directory.remember(found)


def _keep(known: dict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Puts in what is newest and lets go of what is oldest."""
    known.pop(key, None)
    known[key] = value
    if len(known) > most:
        del known[next(iter(known))]
