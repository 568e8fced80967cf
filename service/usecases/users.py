"""Use cases of users: create, read, list, change, delete."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from service.domain.account import NO_QUOTAS, AccountFacts, Quota, Quotas
from service.domain.audit import Action, Result
from service.domain.errors import CredentialsInvalid, Invalid, Problem, QuotaExceeded, Rule
from service.domain.message import uuid7
from service.domain.page import NameCursor, Page
from service.domain.schema import Document, merge, new_problems
from service.domain.user import (
    MIN_PASSWORD,
    CredentialMethod,
    Credentials,
    Password,
    User,
    digests_of,
    restrict_to_own_keys,
    validate_user,
)
from service.postgres import accounts as account_rows
from service.postgres import users as rows
from service.postgres.audit import insert_change
from service.postgres.pool import Connection, Database
from service.postgres.users import StoredCredential
from service.security import CredentialProofs, SecretBox
from service.usecases.account_cache import AccountCache
from service.usecases.audit import AuditQueue
from service.usecases.optimistic_update import retry_on_conflict
from service.usecases.pages import CHUNK, iterate_pages, read_documents
from service.usecases.sessions import fingerprint_of
from service.usecases.sign_in_limits import SignInGuard

_BAD_OLD_VALUE = "The current password is wrong; send it as old_password"


@dataclass(frozen=True, kw_only=True)
class Users:
    """Use cases of users. No result contains a password. `clock` returns aware UTC."""

    database: Database
    account_cache: AccountCache
    secrets: SecretBox
    proofs: CredentialProofs
    guard: SignInGuard
    audit: AuditQueue
    clock: Callable[[], datetime]
    min_password: int = MIN_PASSWORD
    quotas: Quotas = NO_QUOTAS

    async def create(
        self, account: AccountFacts, document: Document, user_id: UUID | None = None
    ) -> User:
        """Creates a user. An import chooses the `user_id`. Raises Invalid with all problems."""
        settings, password = await self._validate(account.account_id, document)
        credentials = await self._prove(account.account_id, settings["username"], password)
        user_id = user_id or uuid7(self.clock())
        async with self.database.transaction() as connection:
            await account_rows.lock_account_for_share(connection, account.account_id)
            limit = self.quotas.limit_of(account, Quota.USERS)
            if limit and await rows.count_users(connection, account.account_id, limit) >= limit:
                raise QuotaExceeded(Quota.USERS, limit)
            user = await rows.insert_user(connection, account.account_id, user_id, settings)
            await rows.replace_credentials(connection, account.account_id, user_id, credentials)
        return user

    async def get(self, account: AccountFacts, user_id: UUID) -> User:
        """Returns a user. Raises UserNotFound."""
        async with self.database.connection() as connection:
            return await rows.get_user(connection, account.account_id, user_id)

    async def list(
        self,
        account: AccountFacts,
        start: NameCursor | None,
        limit: int,
        *,
        descending: bool = False,
        user_id: UUID | None = None,
        predicate: Callable[[User], bool] | None = None,
        keys: Collection[str] | None = None,
    ) -> Page[User, NameCursor]:
        """Returns a page of users by name, or only `user_id`."""

        async def read(start: NameCursor | None, limit: int) -> list[User]:
            async with self.database.connection() as connection:
                return await rows.list_users(
                    connection,
                    account.account_id,
                    start,
                    limit,
                    descending=descending,
                    user_id=user_id,
                )

        return await read_documents(read, _cursor_of, start, limit, predicate, keys)

    def iterate(self, account: AccountFacts) -> AsyncIterator[User]:
        """Yields all users of an account, by name."""
        return iterate_pages(lambda start: self.list(account, start, CHUNK))

    async def replace(self, account: AccountFacts, user_id: UUID, document: Document) -> User:
        """Replaces the document; without `password` the password stays. Raises as `patch`."""
        return await self._change(account, user_id, lambda _: document)

    async def patch(self, account: AccountFacts, user_id: UUID, changes: Document) -> User:
        """Merges changes into a user; null deletes a key, also the password.

        A change of the password ends the tokens of the user: here at once, elsewhere within 5 s.
        Clients sign in with a hash of name and password, so a new name requires the password.
        Raises UserNotFound, EditConflict, Invalid.
        """
        return await self._change(account, user_id, _patch_of(changes))

    async def change_own(
        self,
        account: AccountFacts,
        user_id: UUID,
        document: Document,
        *,
        is_patch: bool,
        peer: str,
    ) -> User:
        """Changes a user as the user itself may. A new password requires `old_password`.

        `peer` is the address of the client. Wrong old passwords are limited like wrong credentials
        of sign-ins. Raises Forbidden (see `restrict_to_own_keys`), SignInLocked, TooManySignIns,
        and as `patch`.
        """
        change = _patch_of(document) if is_patch else lambda _: document
        if "password" in document:
            await self._check_password(await self.get(account, user_id), document, peer)
        return await self._change(
            account, user_id, lambda before: restrict_to_own_keys(before, change(before))
        )

    async def _check_password(self, user: User, request: Document, peer: str) -> None:
        """Raises Invalid unless `old_password` is the current password."""
        old = request.get("old_password")
        if not isinstance(old, str):
            raise Invalid.of("old_password", Rule.REQUIRED)
        credentials = Credentials(
            method=CredentialMethod.SHA,
            digest=digests_of(user.username, old)[CredentialMethod.SHA],
            account_id=user.account_id,
            username=user.username,
        )
        try:
            with self.guard.attempt([credentials], peer, lambda: self._record_lock(user)):
                await self._verify(user, credentials)
        except CredentialsInvalid:
            raise Invalid.of("old_password", Rule.WRONG_FORMAT, message=_BAD_OLD_VALUE) from None

    async def _verify(self, user: User, credentials: Credentials) -> None:
        """Raises CredentialsInvalid unless the credentials belong to the user."""
        lookup = fingerprint_of(self.secrets, credentials)
        async with self.database.connection() as connection:
            stored = await rows.find_credentials(connection, user.account_id, lookup)
        proof = stored.proof if stored is not None and stored.user_id == user.user_id else None
        if not await self.proofs.check(proof, credentials.digest):
            raise CredentialsInvalid

    def _record_lock(self, user: User) -> None:
        self.audit.record(Action.SIGN_IN_LOCKED, user.account_id, Result.UNAUTHORIZED)

    async def delete(self, account: AccountFacts, user_id: UUID) -> User:
        """Deletes a user and ends its tokens; returns its last state. Raises UserNotFound."""
        async with self.database.transaction() as connection:
            user = await rows.delete_user(connection, account.account_id, user_id)
            epoch = await self._revoke_credentials(connection, user)
        self.account_cache.remember_user(user_id, epoch)
        return user

    async def _change(
        self, account: AccountFacts, user_id: UUID, change: Callable[[Document], Document]
    ) -> User:
        async def attempt() -> User | None:
            before = await self.get(account, user_id)
            document = change(before.document)
            settings, password = await self._validate(account.account_id, document, before)
            return await self._write(before, settings, password)

        changed = await retry_on_conflict(attempt)
        self.account_cache.forget_user_rights(user_id)
        return changed

    async def _write(self, before: User, settings: Document, password: Password) -> User | None:
        credentials = await self._prove(before.account_id, settings["username"], password)
        async with self.database.transaction() as connection:
            await account_rows.lock_account_for_share(connection, before.account_id)
            changed = await rows.update_user(connection, before, settings)
            if changed is None or password is UNSET:
                return changed
            epoch = await self._revoke_credentials(connection, before)
            await insert_change(
                connection, before.account_id, Action.USER_PASSWORD_CHANGED, before.user_id
            )
            await rows.replace_credentials(
                connection, before.account_id, before.user_id, credentials
            )
        self.account_cache.remember_user(before.user_id, epoch)
        return changed

    async def _revoke_credentials(self, connection: Connection, user: User) -> int:
        """Deletes the credentials and ends the tokens of a user; returns its new epoch."""
        await rows.replace_credentials(connection, user.account_id, user.user_id, [])
        return await rows.raise_epoch(connection, user.account_id, user.user_id)

    async def _validate(
        self, account_id: UUID, document: Document, before: User | None = None
    ) -> tuple[Document, Password]:
        settings, password, problems = validate_user(document, self.min_password)
        problems = new_problems(problems, before.document if before else {})
        name = settings.get("username")
        if not any(problem.field == "username" for problem in problems):
            async with self.database.connection() as connection:
                own_id = before.user_id if before else None
                if await rows.is_username_taken(connection, account_id, name or "", own_id):
                    problems.append(Problem(field="username", rule=Rule.UNIQUE))
        if before and before.has_password and password is UNSET and name != before.username:
            problems.append(Problem(field="password", rule=Rule.REQUIRED))
        if problems:
            raise Invalid(problems)
        return settings, password

    async def _prove(
        self, account_id: UUID, username: str, password: Password
    ) -> Sequence[StoredCredential]:
        if not isinstance(password, str):
            return []
        with self.guard.accounts.hold(account_id):
            return [
                StoredCredential(
                    fingerprint_of(self.secrets, Credentials(method=method, digest=digest)),
                    await self.proofs.make(digest),
                )
                for method, digest in digests_of(username, password).items()
            ]


def _patch_of(changes: Document) -> Callable[[Document], Document]:
    """Returns the function that merges `changes`; null stays for the password."""
    password = {key: changes[key] for key in ("password",) if key in changes}
    return lambda document: merge(document, changes) | password


def _cursor_of(user: User) -> NameCursor:
    return NameCursor(user.sort_key)
