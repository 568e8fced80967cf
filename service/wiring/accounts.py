"""The operator's desk: what the command line asks of accounts, users and tokens, told as text.

Over the same use cases as HTTP, as the root account. An account goes by id, realm or name.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from service.domain.account import Account, Caller
from service.domain.errors import AccountNotFound
from service.postgres.migrate import newest_migration
from service.settings import Settings
from service.usecases.accounts import Accounts
from service.usecases.users import Users
from service.wiring.factories import open_accounts, open_database, users_beside


class NotSetUp(Exception):
    """Something comes before what was asked for; the text says which command does it."""


@dataclass(frozen=True)
class AdminCommands:
    """Each answer is what is printed."""

    accounts: Accounts
    users: Users
    root: Caller

    async def create_account(self, name: str, realm: str, parent: str | None) -> str:
        above = await self._account(parent)
        made = await self.accounts.create_child(
            self.root, above.account_id, {"name": name, "realm": realm}
        )
        return await self._with_key(made)

    async def list_accounts(self, below: str | None) -> str:
        top = await self._account(below)
        found = self.accounts.iterate_descendants(self.root, top.account_id)
        listed = ([] if below else [top]) + [account async for account in found]
        return "\n".join(f"{one.account_id.hex}  {one.name}  {one.realm}" for one in listed)

    async def show_account(self, named: str) -> str:
        account = await self._account(named)
        shown = {"id": account.account_id.hex, **account.document}
        return msgspec.json.format(msgspec.json.encode(shown)).decode()

    async def delete_account(self, named: str) -> str:
        account = await self._account(named)
        await self.accounts.delete(self.root, account.account_id)
        return f"deleted {account.account_id.hex}"

    async def api_key(self, named: str) -> str:
        return await self.accounts.get_api_key(self.root, (await self._account(named)).account_id)

    async def renew_api_key(self, named: str) -> str:
        account = await self._account(named)
        return await self.accounts.renew_api_key(self.root, account.account_id)

    async def create_user(self, named: str, document: dict[str, Any]) -> str:
        account = await self._account(named)
        user = await self.users.create(account.facts, document)
        return f"user_id {user.user_id.hex}"

    async def list_users(self, named: str) -> str:
        found = self.users.iterate((await self._account(named)).facts)
        return "\n".join(
            [
                f"{user.user_id.hex}  {user.username}  {user.document.get('email', '-')}"
                async for user in found
            ]
        )

    async def issue_token(self, named: str, hours: int) -> str:
        account = await self._account(named)
        sessions = self.accounts.sessions
        return await sessions.issue_token(self.root, account.account_id, hours * 3600)

    async def revoke_token(self, token: str) -> str:
        caller = await self.accounts.sessions.authenticate(token)
        assert caller.claims is not None, "who has a token has claims"
        await self.accounts.sessions.revoke(caller.claims)
        return "revoked"

    async def _account(self, named: str | None) -> Account:
        return await self.accounts.find(self.root, named or self.root.account.account_id.hex)

    async def _with_key(self, account: Account) -> str:
        key = await self.accounts.get_api_key(self.root, account.account_id)
        return f"account_id {account.account_id.hex}\napi_key    {key}"


@asynccontextmanager
async def open_operator(settings: Settings) -> AsyncIterator[Accounts]:
    """The account use cases for the command line. Raises NotSetUp before there are tables."""
    async with (
        open_database(settings, "aftertone cli", size=1) as database,
        open_accounts(settings, database) as accounts,
    ):
        async with database.connection() as connection:
            if not await newest_migration(connection):
                raise NotSetUp("The database is not set up yet: run `aftertone migrate`.")
        yield accounts


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[AdminCommands]:
    """NotSetUp before there are tables and a root account."""
    async with open_operator(settings) as accounts:
        try:
            operator = await accounts.sessions.operator()
        except AccountNotFound:
            raise NotSetUp(
                "There is no root account yet: `aftertone account create-root` makes it."
            ) from None
        yield AdminCommands(accounts, users_beside(accounts), operator)
