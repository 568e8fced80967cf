"""Commands for accounts, users and tokens, with the rights of the root account.

Each returns the text to print.

The `account` argument of a command is an id, a realm or a name.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import click
import msgspec

from service.api.kazoo.wire.audit import audit_row
from service.domain.account import Account, Caller
from service.domain.audit import AuditFilter
from service.domain.clock import utc_now
from service.domain.message import uuid7
from service.settings import Settings
from service.usecases.accounts import Accounts
from service.usecases.audit import Audit
from service.usecases.users import Users
from service.wiring.accounts import acting_as_operator, open_cli_accounts
from service.wiring.factories import users_of


@dataclass(frozen=True)
class AccountCommands:
    """Runs the use cases of accounts and users and formats their results."""

    accounts: Accounts
    users: Users
    root: Caller

    async def create_account(self, name: str, realm: str, parent: str | None) -> str:
        above = await self._find(parent)
        account = await self.accounts.create_child(
            self.root, above.account_id, {"name": name, "realm": realm}
        )
        key = await self.accounts.get_api_key(self.root, account.account_id)
        return f"account_id {account.account_id.hex}\napi_key    {key}"

    async def list_accounts(self, below: str | None) -> str:
        top = await self._find(below)
        descendants = self.accounts.iterate_descendants(self.root, top.account_id)
        accounts = ([] if below else [top]) + [account async for account in descendants]
        return "\n".join(f"{item.account_id.hex}  {item.name}  {item.realm}" for item in accounts)

    async def show_account(self, account: str) -> str:
        stored = await self._find(account)
        document = {"id": stored.account_id.hex, **stored.document}
        return msgspec.json.format(msgspec.json.encode(document)).decode()

    async def delete_account(self, account: str) -> str:
        account_id = (await self._find(account)).account_id
        await self.accounts.delete(self.root, account_id)
        return f"deleted {account_id.hex}"

    async def erase_account(self, account: str) -> str:
        account_id, erasure_id = (await self._find(account)).account_id, uuid7(utc_now())
        await self.accounts.delete(self.root, account_id, erasure_id)
        return f"deleted {account_id.hex}, erasure {erasure_id.hex}"

    async def api_key(self, account: str) -> str:
        return await self.accounts.get_api_key(self.root, (await self._find(account)).account_id)

    async def renew_api_key(self, account: str) -> str:
        return await self.accounts.renew_api_key(self.root, (await self._find(account)).account_id)

    async def create_user(self, account: str, document: dict[str, Any]) -> str:
        user = await self.users.create((await self._find(account)).facts, document)
        return f"user_id {user.user_id.hex}"

    async def list_users(self, account: str) -> str:
        users = self.users.iterate((await self._find(account)).facts)
        return "\n".join(
            [
                f"{user.user_id.hex}  {user.username}  {user.document.get('email', '-')}"
                async for user in users
            ]
        )

    async def issue_token(self, account: str, hours: int) -> str:
        account_id = (await self._find(account)).account_id
        return await self.accounts.sessions.issue_token(self.root, account_id, hours * 3600)

    async def revoke_token(self, token: str) -> str:
        caller = await self.accounts.sessions.authenticate(token)
        assert caller.claims is not None, "a token always has claims"
        await self.accounts.sessions.revoke(caller.claims)
        return "revoked"

    async def export_audit(self, account: str, selection: AuditFilter) -> str:
        """Prints each record as one line of JSON, and returns an empty text."""
        account_id = (await self._find(account)).account_id
        audit = Audit(self.accounts.database, self.accounts.sessions.audit)
        async for record in audit.iterate(account_id, selection):
            click.echo(msgspec.json.encode(audit_row(record)))
        return ""

    async def _find(self, account: str | None) -> Account:
        return await self.accounts.find(self.root, account or self.root.account.account_id.hex)


@asynccontextmanager
async def open_account_commands(settings: Settings) -> AsyncIterator[AccountCommands]:
    """Opens the commands. Raises NotSetUp if there are no tables or there is no root account."""
    async with (
        open_cli_accounts(settings) as accounts,
        acting_as_operator(accounts) as root,
    ):
        yield AccountCommands(accounts, users_of(accounts, settings), root)
