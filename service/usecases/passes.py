"""Credentials that come with every request: proved once a minute, over at once with their user."""

import asyncio
from typing import TypeVar
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


class _Pass(msgspec.Struct, frozen=True):
    """The token that credentials were good for, or its making; proved again after `until`."""

    token: "asyncio.Task[str]"
    until: float


class Passes:
    """Remembers what was proved. A pass is a token that never leaves this process, so whatever
    ends tokens (another password, another API key, the end of a user or account) ends it too."""

    def __init__(
        self, sessions: Sessions, *, lifetime_s: float = _LIFETIME_S, most: int = 10_000
    ) -> None:
        self._sessions = sessions
        self._lifetime_s = lifetime_s
        self._most = most
        self._passes: dict[bytes, _Pass] = {}
        self._account_ids: dict[str, UUID] = {}

    async def caller(self, account: str, username: str, password: str) -> Caller:
        """The user of an account, which is named by its name or its realm.

        Raises CredentialsInvalid, TooManySignIns.
        """
        held = self._pass(account, username, password)
        try:
            return await self._judged(held)
        except TokenInvalid:
            return await self._judged(self._pass(account, username, password, instead_of=held))

    async def descendant(self, caller: Caller, name: str) -> AccountFacts:
        """The account of that name. Raises Forbidden unless it is below the caller's own."""
        account = await self._named(name)
        own = caller.account
        if account is None or account.account_id == own.account_id or not own.reaches(account):
            raise Forbidden
        return account

    async def _judged(self, held: _Pass) -> Caller:
        # Shielded: others may wait for the same proof.
        return await self._sessions.authenticate(await asyncio.shield(held.token))

    def _pass(
        self, account: str, username: str, password: str, instead_of: _Pass | None = None
    ) -> _Pass:
        """What is remembered, or a proof that begins now."""
        now = asyncio.get_running_loop().time()
        key = self._sessions.secrets.fingerprint("pass", "\0".join((account, username, password)))
        held = self._passes.get(key)
        if held is not None and held is not instead_of and now < held.until:
            return held
        proof = asyncio.create_task(self._prove(account, username, password))
        fresh = _Pass(proof, now + self._lifetime_s)
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
            token, _ = await self._sessions.sign_in_as_user(by_name)
        except CredentialsInvalid:
            token, _ = await self._sessions.sign_in_as_user(by_realm)
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
        return directory.learn(found)


def _keep(known: dict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Puts in what is newest and lets go of what is oldest."""
    known.pop(key, None)
    known[key] = value
    if len(known) > most:
        del known[next(iter(known))]
