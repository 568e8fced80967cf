"""Who speaks for an account: signing in, tokens and their end, the right of access."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.account import AccountFacts, Caller, Claims, Method
from service.domain.clock import utc_now
from service.domain.errors import (
    AccountNotFound,
    CredentialsInvalid,
    Forbidden,
    TokenInvalid,
    VoicemailError,
)
from service.domain.user import Credentials
from service.postgres import accounts as rows
from service.postgres import users as user_rows
from service.postgres.pool import Connection, Database
from service.postgres.users import FoundCredential
from service.security import CredentialProofs, Issuer, SecretBox, Tokens
from service.usecases.account_cache import AccountCache


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """A token is judged from memory: the directory hears of what ends one."""

    database: Database
    account_cache: AccountCache
    tokens: Tokens
    secrets: SecretBox
    proofs: CredentialProofs
    issuer: Issuer | None = None
    clock: Callable[[], datetime] = utc_now

    async def operator(self) -> Caller:
        """The root account's caller without a token, for whoever holds the database anyway."""
        async with self.database.connection() as connection:
            root = await rows.root_id(connection)
        account = None if root is None else await self.account_cache.account(root)
        if account is None:
            raise AccountNotFound
        return Caller(account)

    async def sign_in_with_api_key(self, api_key: str) -> tuple[str, AccountFacts]:
        """A token for the account of that key; CredentialsInvalid when there is none."""
        lookup = self.secrets.fingerprint("api_key", api_key)
        async with self.database.connection() as connection:
            account = await rows.facts_by_api_key(connection, lookup)
        if account is None:
            raise CredentialsInvalid
        self.account_cache.remember(account)
        # For what the key was good for when it was read, and not for what is known by now: a key
        # that was renewed meanwhile must not give a token that outlives it.
        return self._issue(account, Method.API_KEY)[0], account

    async def sign_in_as_user(self, given: Credentials) -> tuple[str, Caller]:
        """A token for the user whose credentials these are, and that user's caller.

        Raises CredentialsInvalid, after the same time whatever is wrong; TooManySignIns.
        """
        async with self.database.connection() as connection:
            account = await _account_of(connection, given)
            found = None
            if account is not None:
                lookup = fingerprint_of(self.secrets, given)
                found = await user_rows.find_credentials(connection, account.account_id, lookup)
        proved = await self.proofs.check(found.proof if found else None, given.digest)
        if account is None or found is None or not proved:
            raise CredentialsInvalid
        self.account_cache.remember_user(found.user_id, found.auth_epoch)
        token, claims = self._issue(self.account_cache.remember(account), Method.USER, user=found)
        return token, Caller(account, claims)

    async def issue_token(self, caller: Caller, account_id: UUID, lifetime_s: int) -> str:
        """A token for an account within the caller's reach, of a lifetime of its own."""
        account = await self.authorise(caller, account_id)
        return self._issue(account, Method.OPERATOR, lifetime_s)[0]

    async def authenticate(self, token: str) -> Caller:
        """Who presents `token`; TokenInvalid when it is not valid, over, revoked or overtaken."""
        claims = await self._claims_of(token)
        # An epoch above the remembered one: the token is newer than what this process has heard.
        newest = claims.auth_epoch or 0
        account = await self.account_cache.account(claims.account_id, auth_epoch=newest)
        if account is None or claims.auth_epoch not in (None, account.auth_epoch):
            raise TokenInvalid
        if await self.account_cache.user_epoch(claims) != claims.user_epoch:
            raise TokenInvalid
        if await self.account_cache.is_revoked(claims):
            raise TokenInvalid
        return Caller(account, claims)

    async def authorise(self, caller: Caller, account_id: UUID) -> AccountFacts:
        """The account, when it is the caller's own or below it; else Forbidden.

        That an account does not exist is told to the root account only (AccountNotFound): for
        all others it looks like a foreign one.
        """
        if account_id == caller.account.account_id:
            return caller.account
        account = await self.account_cache.account(account_id)
        if account is None:
            raise _unknown(caller, account_id)
        if not caller.account.contains(account):
            raise Forbidden
        return account

    async def revoke(self, claims: Claims) -> None:
        """Ends one token: here at once, in other processes with their next beat."""
        async with self.database.connection() as connection:
            await rows.revoke_token(connection, claims)
        self.account_cache.remember_revoked(claims.token_id)

    async def _claims_of(self, token: str) -> Claims:
        try:
            return self.tokens.verify(token, self.clock())
        except TokenInvalid:
            if self.issuer is None:
                raise
        return await self.issuer.verify(token, self.clock())

    def _issue(
        self,
        account: AccountFacts,
        method: Method,
        lifetime_s: int | None = None,
        user: FoundCredential | None = None,
    ) -> tuple[str, Claims]:
        return self.tokens.issue(
            account.account_id,
            auth_epoch=account.auth_epoch,
            method=method,
            now=self.clock(),
            owner_id=user.user_id if user else None,
            user_epoch=user.auth_epoch if user else None,
            lifetime_s=lifetime_s,
        )


async def _account_of(connection: Connection, given: Credentials) -> AccountFacts | None:
    if given.account_id is not None:
        return await rows.account_facts(connection, given.account_id)
    account = None
    if given.realm is not None:
        account = await rows.facts_by_realm(connection, given.realm)
    if account is None and given.account_name is not None:
        account = await rows.facts_by_name(connection, given.account_name)
    return account


def fingerprint_of(secrets: SecretBox, given: Credentials) -> bytes:
    """What credentials are found by, within an account."""
    return secrets.fingerprint(f"credentials:{given.method}", given.digest)


def _unknown(caller: Caller, account_id: UUID) -> VoicemailError:
    return AccountNotFound(account_id.hex) if caller.account.is_root else Forbidden()
