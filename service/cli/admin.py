"""Commands about accounts, users and tokens."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from service.cli.moves import move_account
from service.cli.processes import keep_once
from service.cli.running import run, run_account_command, settings_of
from service.settings import Settings

# 100 years: the expiry of a token must be a valid date.
_MAX_TOKEN_HOURS = 876_000


@click.group()
def account() -> None:
    """Manage accounts.

    These commands need access to the database. ACCOUNT is an id, a realm or a name.
    """


@account.command("create-root")
@click.option("--name", required=True, help="Name of the root account.")
@click.option("--realm", required=True, help="SIP realm, for example voice.example.com.")
def create_root(name: str, realm: str) -> None:
    """Create the root account if there is none. Prints its id and API key."""
    from service.wiring.accounts import open_cli_accounts

    async def work(settings: Settings) -> tuple[str, str]:
        async with open_cli_accounts(settings) as accounts:
            root = await accounts.create_root(name, realm)
            key = await accounts.get_api_key(
                await accounts.sessions.get_operator(), root.account_id
            )
            return root.account_id.hex, key

    account_id, key = run(work(settings_of("account")))
    click.echo(f"account_id {account_id}\napi_key    {key}")


@account.command("create")
@click.option("--name", required=True, help="Name, unique in the deployment (case is ignored).")
@click.option("--realm", required=True, help="SIP realm, unique in the deployment.")
@click.option("--parent", metavar="ACCOUNT", help="Parent account. Default: the root account.")
def create_account(name: str, realm: str, parent: str | None) -> None:
    """Create an account. Prints its id and API key."""
    run_account_command(lambda commands: commands.create_account(name, realm, parent))


@account.command("list")
@click.option("--below", metavar="ACCOUNT", help="List only the descendants of this account.")
def list_accounts(below: str | None) -> None:
    """List accounts: id, name, realm."""
    run_account_command(lambda commands: commands.list_accounts(below))


@account.command("show")
@click.argument("account")
def show_account(account: str) -> None:
    """Show an account as JSON."""
    run_account_command(lambda commands: commands.show_account(account))


@account.command("delete")
@click.argument("account")
@click.confirmation_option(prompt="This also deletes its boxes, messages and users. Continue?")
def delete_account(account: str) -> None:
    """Delete an account that has no child accounts, with its boxes, messages and users."""
    run_account_command(lambda commands: commands.delete_account(account))


@account.command("erase")
@click.argument("account")
@click.confirmation_option(prompt="This deletes all its data at once, also the trash. Continue?")
def erase_account(account: str) -> None:
    """Delete an account that has no child accounts, and erase all its data now.

    Needs AFTERTONE_OWNER_DATABASE_URL; without it, the keeper erases the data within an hour.
    After an interruption, `aftertone keeper --once erasure` continues.
    """
    run_account_command(lambda commands: commands.erase_account(account))
    settings = settings_of("keeper")
    if settings.owner_database_url:
        run(keep_once(settings, "erasure"))


account.add_command(move_account)


@click.group("api-key")
def api_key() -> None:
    """Show or renew the API key of an account.

    `PUT /v2/api_auth` exchanges an API key for a token.
    """


@api_key.command("show")
@click.argument("account")
def show_api_key(account: str) -> None:
    """Print the API key of ACCOUNT."""
    run_account_command(lambda commands: commands.api_key(account))


@api_key.command("renew")
@click.argument("account")
def renew_api_key(account: str) -> None:
    """Create a new API key and print it. The old key and all tokens of ACCOUNT become invalid."""
    run_account_command(lambda commands: commands.renew_api_key(account))


@click.group()
def user() -> None:
    """Manage the users of an account.

    Users sign in with `PUT /v2/user_auth`.
    """


@user.command("create")
@click.argument("account")
@click.argument("username")
@click.option("--email", help="Address for notifications about their boxes.")
@click.password_option(help="Password. Prompted for if the option is missing.")
@click.option("--admin", is_flag=True, help="Give access to the whole account.")
def create_user(
    account: str, username: str, email: str | None, password: str, *, admin: bool
) -> None:
    """Create a user of ACCOUNT. Prints the user id.

    Without --admin the user has access to the boxes that it owns (`owner_id`) only.
    """
    document = {"username": username, "email": email, "password": password}
    document["priv_level"] = "admin" if admin else "user"
    run_account_command(lambda commands: commands.create_user(account, document))


@user.command("list")
@click.argument("account")
def list_users(account: str) -> None:
    """List the users of ACCOUNT: id, user name, e-mail address."""
    run_account_command(lambda commands: commands.list_users(account))


@click.group()
def token() -> None:
    """Issue and revoke tokens.

    These commands need access to the database and the key ring.
    """


@token.command("issue")
@click.argument("account")
@click.option(
    "--hours",
    type=click.IntRange(1, _MAX_TOKEN_HOURS),
    default=1,
    show_default=True,
    help="Lifetime of the token in hours.",
)
def issue_token(account: str, hours: int) -> None:
    """Print a new token for ACCOUNT."""
    run_account_command(lambda commands: commands.issue_token(account, hours))


@token.command("revoke")
@click.argument("argument", metavar="TOKEN")
def revoke_token(argument: str) -> None:
    """Revoke TOKEN in all processes within seconds. `-` reads it from standard input."""
    token = sys.stdin.readline().strip() if argument == "-" else argument
    run_account_command(lambda commands: commands.revoke_token(token))


@click.group()
def audit() -> None:
    """Export the audit: records of changes, reads and refused requests."""


_MOMENT = click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"])


@audit.command("export")
@click.argument("account")
@click.option("--since", metavar="TIME", type=_MOMENT, help="Earliest time (UTC), inclusive.")
@click.option("--until", metavar="TIME", type=_MOMENT, help="Latest time (UTC), inclusive.")
def export_audit(account: str, since: datetime | None, until: datetime | None) -> None:
    """Print the audit of ACCOUNT as lines of JSON, the oldest record first.

    Requests without a valid token are in the audit of the root account.
    """
    from service.domain.audit import AuditFilter

    selection = AuditFilter(
        since=since and since.replace(tzinfo=UTC), until=until and until.replace(tzinfo=UTC)
    )
    run_account_command(lambda commands: commands.export_audit(account, selection))


COMMANDS = (account, api_key, user, token, audit)
