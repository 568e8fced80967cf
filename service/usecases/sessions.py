"""Use cases of sessions: sign in, verify and revoke tokens, check access."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec

from service.domain.access import ADMIN_ACCESS, Access, PrivLevel, owner_access
from service.domain.account import AccountFacts, Caller, Claims, Method
from service.domain.api_key import ApiKey
from service.domain.audit import Action, Result, current_actor
from service.domain.clock import utc_now
from service.domain.errors import (
    AccountNotFound,
    CredentialsInvalid,
    Forbidden,
    TokenInvalid,
)
from service.domain.move import AccountMoved, MoveState
from service.domain.user import Credentials
from service.postgres import accounts as rows
from service.postgres import users as user_rows
from service.postgres.api_keys import find_api_key
from service.postgres.pool import Connection, Database
from service.postgres.users import CredentialRow
from service.security import CredentialProofs, Issuer, SecretBox, Tokens
from service.usecases.account_cache import AccountCache
from service.usecases.audit import AuditQueue
from service.usecases.sign_in_limits import SignInGuard


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Use cases of sessions. Tokens are checked against the account cache."""

    database: Database
    account_cache: AccountCache
    tokens: Tokens
    secrets: SecretBox
    proofs: CredentialProofs
    guard: SignInGuard
    issuer: Issuer | None = None
    users_are_admins: bool = False
    audit: AuditQueue = field(default_factory=AuditQueue)
    clock: Callable[[], datetime] = utc_now

    async def get_operator(self) -> Caller:
        """Returns a caller for the root account without a token, for the command line."""
        async with self.database.connection() as connection:
            root = await rows.get_root_id(connection)
        account = None if root is None else await self.account_cache.get_account(root)
        if account is None:
            raise AccountNotFound
        return Caller(account, ADMIN_ACCESS)

    async def sign_in_with_api_key(self, api_key: str) -> tuple[str, Caller]:
        """Returns a token and the caller of an API key. Raises CredentialsInvalid."""
        lookup = self.secrets.fingerprint("api_key", api_key)
        key = None
        async with self.database.connection() as connection:
            account = await rows.find_facts_by_api_key(connection, lookup)
            if account is None:
                key = await find_api_key(connection, lookup)
            if key is not None:
                account = await rows.get_account_facts(connection, key.account_id)
        if account is None:
            self.audit.record(Action.SIGN_IN, None, Result.UNAUTHORIZED)
            raise CredentialsInvalid
        self.account_cache.store(_served(account))
        # The token has the epoch that was read together with the key, so it is invalid if the key
        # was renewed in the meantime. Named keys have their own method, so that a process of an
        # older release refuses the token.
        method = Method.API_KEY if key is None else Method.NAMED_KEY
        token, claims = self._issue(account, method, key=key)
        caller = Caller(account, await self._access_of(claims), claims)
        self._record_sign_in(caller)
        return token, caller

    async def sign_in_as_user(self, *candidates: Credentials, peer: str) -> tuple[str, Caller]:
        """Returns a token and the caller for the first valid credentials.

        The candidates differ only in the name of the account; `peer` is the address of the client.
        Raises CredentialsInvalid, SignInLocked, TooManySignIns. All causes of CredentialsInvalid
        take the same time.
        """
        account_ids: set[UUID] = set()

        def record(action: Action) -> None:
            for account_id in account_ids or (None,):
                self.audit.record(action, account_id, Result.UNAUTHORIZED)

        with self.guard.attempt(candidates, peer, lambda: record(Action.SIGN_IN_LOCKED)):
            for credentials in candidates:
                with suppress(CredentialsInvalid):
                    return await self._sign_in(credentials, account_ids)
            record(Action.SIGN_IN)
            raise CredentialsInvalid

    async def _sign_in(
        self, credentials: Credentials, account_ids: set[UUID]
    ) -> tuple[str, Caller]:
        """Signs in as `sign_in_as_user`. Adds the account of wrong credentials to `account_ids`."""
        async with self.database.connection() as connection:
            account = await _account_of(connection, credentials)
            user = None
            if account is not None:
                lookup = fingerprint_of(self.secrets, credentials)
                user = await user_rows.find_credentials(connection, account.account_id, lookup)
        is_valid = await self.proofs.check(user.proof if user else None, credentials.digest)
        if account is None or user is None or not is_valid:
            account_ids.update(() if account is None else (account.account_id,))
            raise CredentialsInvalid
        self.account_cache.remember_user(user.user_id, user.auth_epoch)
        account = self.account_cache.store(_served(account))
        token, claims = self._issue(account, Method.USER, user=user)
        caller = Caller(account, await self._access_of(claims), claims)
        self._record_sign_in(caller)
        return token, caller

    async def issue_token(self, caller: Caller, account_id: UUID, lifetime_s: int) -> str:
        """Returns a token for the account of the caller or one below it."""
        account = await self.authorise(caller, account_id)
        token, claims = self._issue(account, Method.OPERATOR, lifetime_s)
        self.audit.record(Action.TOKEN_ISSUED, account_id, target=claims.token_id.hex)
        return token

    async def authenticate(self, token: str) -> Caller:
        """Returns the caller of `token`. Raises TokenInvalid if it is invalid or revoked."""
        return await self.check_claims(await self._claims_of(token))

    async def check_token(self, token: str, *, peer: str) -> Caller:
        """Returns the caller of a token that is the content of a request, not its credentials.

        `peer` is the address of the client. Raises TokenInvalid, and SignInLocked after too many
        wrong tokens.
        """

        def on_lock() -> None:
            self.audit.record(Action.SIGN_IN_LOCKED, None, Result.UNAUTHORIZED)

        with self.guard.check_token(token, peer, on_lock):
            return await self.authenticate(token)

    async def check_claims(self, claims: Claims) -> Caller:
        """Returns the caller of verified claims.

        Raises TokenInvalid when the token was revoked, or when the epoch of its account or user
        has changed.
        """
        # If the token has a later epoch than the cached account, the cache reads the account again.
        epoch = claims.auth_epoch or 0
        account = await self.account_cache.get_account(claims.account_id, auth_epoch=epoch)
        if account is None or claims.auth_epoch not in (None, account.auth_epoch):
            raise TokenInvalid
        if not await self._has_current_user(claims) or await self.account_cache.is_revoked(claims):
            raise TokenInvalid
        return Caller(account, await self._access_of(claims), claims)

    async def authorise(self, caller: Caller, account_id: UUID) -> AccountFacts:
        """Returns the account of the caller, or an account below it for an administrator.

        Raises Forbidden, AccountMoved. For a missing account only the root account gets
        AccountNotFound; others get Forbidden.
        """
        if account_id == caller.account.account_id:
            return _served(caller.account)
        if not caller.access.is_admin:
            raise Forbidden
        account = await self.account_cache.get_account(account_id)
        if account is None:
            raise AccountNotFound(account_id.hex) if caller.account.is_root else Forbidden()
        if not caller.account.contains(account):
            raise Forbidden
        return _served(account)

    async def revoke(self, claims: Claims) -> None:
        """Revokes a token: here at once, in other processes within 5 s."""
        async with self.database.transaction() as connection:
            await rows.revoke_token(connection, claims)
        self.account_cache.store_revoked(claims.token_id)

    def _record_sign_in(self, caller: Caller) -> None:
        actor = msgspec.structs.replace(current_actor())
        actor.identify(caller)
        self.audit.record(Action.SIGN_IN, caller.account.account_id, actor=actor)

    async def _claims_of(self, token: str) -> Claims:
        try:
            return self.tokens.verify(token, self.clock())
        except TokenInvalid:
            if self.issuer is None:
                raise
        return await self.issuer.verify(token, self.clock())

    async def _has_current_user(self, claims: Claims) -> bool:
        # Users of an external issuer need not exist here.
        if claims.method is Method.ISSUER:
            return True
        return await self.account_cache.get_user_epoch(claims) == claims.user_epoch

    async def _access_of(self, claims: Claims) -> Access:
        """Returns the access of a token, at most 5 s old. Raises TokenInvalid for a revoked key."""
        match claims.method:
            case Method.USER:
                return await self._user_access(claims)
            case Method.ISSUER:
                return ADMIN_ACCESS if claims.is_admin else await self._user_access(claims)
            case Method.NAMED_KEY:
                return await self._key_access(claims)
            case Method.API_KEY | Method.OPERATOR:
                return ADMIN_ACCESS
        assert_never(claims.method)

    async def _key_access(self, claims: Claims) -> Access:
        key = None
        if claims.key_id is not None:
            key = await self.account_cache.get_api_key(claims.account_id, claims.key_id)
        if key is None:
            raise TokenInvalid
        return key.access

    async def _user_access(self, claims: Claims) -> Access:
        if self.users_are_admins:
            return ADMIN_ACCESS
        user_id = claims.owner_id
        if user_id is None:
            return owner_access(None, ())
        rights = await self.account_cache.get_user_rights(claims.account_id, user_id)
        if rights.priv_level == PrivLevel.ADMIN and claims.method is Method.USER:
            return ADMIN_ACCESS
        return owner_access(user_id, rights.vmbox_ids)

    def _issue(
        self,
        account: AccountFacts,
        method: Method,
        lifetime_s: int | None = None,
        user: CredentialRow | None = None,
        key: ApiKey | None = None,
    ) -> tuple[str, Claims]:
        return self.tokens.issue(
            account.account_id,
            auth_epoch=account.auth_epoch,
            method=method,
            now=self.clock(),
            owner_id=user.user_id if user else None,
            user_epoch=user.auth_epoch if user else None,
            key=key,
            lifetime_s=lifetime_s,
        )


def _served(account: AccountFacts) -> AccountFacts:
    """Returns an account that this deployment serves. Raises AccountMoved."""
    if account.move_state in (MoveState.MOVED, MoveState.ARRIVING):
        raise AccountMoved(account.moved_to or "")
    return account


async def _account_of(connection: Connection, credentials: Credentials) -> AccountFacts | None:
    if credentials.account_id is not None:
        return await rows.get_account_facts(connection, credentials.account_id)
    account = None
    if credentials.realm is not None:
        account = await rows.find_facts_by_realm(connection, credentials.realm)
    if account is None and credentials.account_name is not None:
        account = await rows.find_facts_by_name(connection, credentials.account_name)
    return account


def fingerprint_of(secrets: SecretBox, credentials: Credentials) -> bytes:
    """Returns the lookup key of credentials within an account."""
    return secrets.fingerprint(f"credentials:{credentials.method}", credentials.digest)
