"""Preparation of `aftertone dev`: what is missing is created, and a person can sign in."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from service.domain.account import Account
from service.domain.clock import utc_now
from service.domain.errors import AccountNotFound, UserNotFound
from service.security import LOOPBACK
from service.settings import Settings, read_settings
from service.transfer.demo import REALM, DemoSource
from service.transfer.report import ImportReport, Mapped, RecordKind
from service.transfer.source import Skipped
from service.transfer.structure import ImportOptions
from service.usecases.accounts import Accounts
from service.wiring import run_migrate
from service.wiring.accounts import open_cli_accounts
from service.wiring.factories import open_audio, users_of
from service.wiring.keys import write_key_ring
from service.wiring.transfer import TransferTools, open_transfer_tools

_TOKEN_LIFETIME_S = 24 * 3600
_OLDEST_MONTH = 201001
DEV_WEBHOOK_NETWORKS = ",".join(map(str, LOOPBACK))
_AWS_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_USERNAME = "dev"
_PASSWORD_BYTES = 9


class _SilentObserver:
    """Observer of an import that reports nothing."""

    def set_total(self, total: int) -> None: ...
    def advance(self, count: int) -> None: ...
    def report_mapped(self, mapped: Mapped) -> None: ...
    def report_skipped(self, kind: RecordKind, skipped: Skipped) -> None: ...


async def prepare_dev(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Creates what is missing: key ring, tables, bucket and root account; issues a token."""
    key_ring = folder / "keys.json"
    if not key_ring.exists():
        write_key_ring(key_ring)
    variables = {
        "AFTERTONE_KEY_RING_FILE": str(key_ring),
        "AFTERTONE_OLDEST_MONTH": str(_OLDEST_MONTH),
        # A free port, for processes that are started by hand with `dev.env`.
        "AFTERTONE_ADMIN_PORT": "0",
        "AFTERTONE_WEBHOOK_ALLOW_PRIVATE": DEV_WEBHOOK_NETWORKS,
    }
    settings = read_settings({**environment, **variables})
    await run_migrate(settings)
    # The AWS library reads credentials from the environment.
    os.environ.update({name: environment[name] for name in _AWS_NAMES})
    async with open_audio(settings) as audio:
        await audio.ensure_bucket()
    async with open_cli_accounts(settings) as accounts:
        root = await accounts.create_root("aftertone", "aftertone.localhost")
        return variables | await _credentials(accounts, root)


async def prepare_dev_for_people(
    folder: Path, environment: Mapping[str, str], *, demo: bool
) -> dict[str, str]:
    """As `prepare_dev`, with a user who can sign in to the web inbox.

    With `demo`, account and user are those of the demonstration, which is created if it is missing.
    """
    variables = await prepare_dev(folder, environment)
    settings = read_settings({**environment, **variables})
    async with open_transfer_tools(settings) as tools:
        account = await tools.accounts.get(tools.root, tools.root.account.account_id)
        if demo:
            account = await _demo_account(tools, account)
            variables |= await _credentials(tools.accounts, account)
        password = await _set_password(settings, tools.accounts, account)
    return {
        **variables,
        "AFTERTONE_ACCOUNT": account.name,
        "AFTERTONE_USERNAME": _USERNAME,
        "AFTERTONE_PASSWORD": password,
    }


async def _credentials(accounts: Accounts, account: Account) -> dict[str, str]:
    caller = await accounts.sessions.get_operator()
    token = await accounts.sessions.issue_token(caller, account.account_id, _TOKEN_LIFETIME_S)
    return {
        "AFTERTONE_ACCOUNT_ID": account.account_id.hex,
        "AFTERTONE_API_KEY": await accounts.get_api_key(caller, account.account_id),
        "AFTERTONE_AUTH_TOKEN": token,
    }


async def _demo_account(tools: TransferTools, root: Account) -> Account:
    """Returns the demonstration account. Imports it if it does not exist."""
    with suppress(AccountNotFound):
        return await tools.accounts.find(tools.root, REALM)
    options = ImportOptions(below=root.facts)
    await tools.importer(DemoSource(utc_now()), options, ImportReport(_SilentObserver())).run()
    return await tools.accounts.find(tools.root, REALM)


async def _set_password(settings: Settings, accounts: Accounts, account: Account) -> str:
    """Gives the user of the account a new password and returns it."""
    users, password = users_of(accounts, settings), secrets.token_urlsafe(_PASSWORD_BYTES)
    # The id of the account is also the id of this user, so that the next start finds it.
    user_id = account.account_id
    try:
        await users.patch(account.facts, user_id, {"password": password})
    except UserNotFound:
        user = {"username": _USERNAME, "password": password, "priv_level": "admin"}
        await users.create(account.facts, user, user_id)
    return password
