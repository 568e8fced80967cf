"""Commands about keys, accounts, users and tokens."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from service.cli.running import ask, run, settings_of
from service.settings import Settings

# A hundred years: the end of a token must be a date.
_MOST_HOURS = 876_000


@click.group()
def keys() -> None:
    """The key ring: what signs tokens and encrypts PINs and API keys."""


@keys.command("generate")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def generate_keys(file: Path) -> None:
    """Write a new key ring to FILE (mode 0600); an existing file is left alone."""
    from service import wiring

    try:
        wiring.write_key_ring(file)
    except FileExistsError:
        raise click.ClickException(f"{file} exists already and was left as it is.") from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None
    click.echo(f"wrote {file}")


@keys.command("rotate")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--prepare", "stage", flag_value="prepare", help="Add new keys, use the old ones.")
@click.option("--activate", "stage", flag_value="activate", help="Use the newest keys of FILE.")
def rotate_keys(file: Path, stage: str | None) -> None:
    """Add a new signing and a new encryption key to FILE and use them; the old ones stay.

    Processes read FILE when they start. Where they restart one after the other, none may meet a
    key it does not know: --prepare, restart all, --activate, restart all.
    """
    from service import wiring
    from service.security import KeyRingError

    try:
        wiring.rotate_keys(file, add=stage != "activate", activate=stage != "prepare")
    except KeyRingError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{file} was left as it is: {error.strerror}.") from None
    click.echo(f"wrote {file}; it counts for processes that start from now on")


@click.group()
def account() -> None:
    """Accounts, for whoever holds the database. ACCOUNT is an id, a realm or a name."""


@account.command("create-root")
@click.option("--name", required=True, help="The name of the deployment's first account.")
@click.option("--realm", required=True, help="Its SIP realm, such as voice.example.com.")
def create_root(name: str, realm: str) -> None:
    """Create the root account, or show it when there is one; prints its id and its API key."""
    from service.wiring.accounts import open_operator

    async def work(settings: Settings) -> tuple[str, str]:
        async with open_operator(settings) as accounts:
            root = await accounts.create_root(name, realm)
            key = await accounts.get_api_key(await accounts.sessions.operator(), root.account_id)
            return root.account_id.hex, key

    account_id, key = run(work(settings_of("account")))
    click.echo(f"account_id {account_id}\napi_key    {key}")


@account.command("create")
@click.option("--name", required=True, help="Unique in the deployment, whatever its case.")
@click.option("--realm", required=True, help="Its SIP realm, unique too.")
@click.option("--parent", metavar="ACCOUNT", help="What it lies below; the root by default.")
def create_account(name: str, realm: str, parent: str | None) -> None:
    """Create an account below another; prints its id and its API key."""
    ask(lambda desk: desk.create_account(name, realm, parent))


@account.command("list")
@click.option("--below", metavar="ACCOUNT", help="Only what lies below this one.")
def list_accounts(below: str | None) -> None:
    """List all accounts: id, name, realm."""
    ask(lambda desk: desk.list_accounts(below))


@account.command("show")
@click.argument("account")
def show_account(account: str) -> None:
    """Show an account as JSON."""
    ask(lambda desk: desk.show_account(account))


@account.command("delete")
@click.argument("account")
@click.confirmation_option(prompt="Its boxes, messages and users go with it. Delete it?")
def delete_account(account: str) -> None:
    """Delete an account that has none below it, with its boxes, messages and users."""
    ask(lambda desk: desk.delete_account(account))


@click.group("api-key")
def api_key() -> None:
    """The API key of an account: `PUT /v2/api_auth` makes tokens of it."""


@api_key.command("show")
@click.argument("account")
def show_api_key(account: str) -> None:
    """Print the API key of ACCOUNT."""
    ask(lambda desk: desk.api_key(account))


@api_key.command("renew")
@click.argument("account")
def renew_api_key(account: str) -> None:
    """Make and print a new API key; the old one and all tokens of ACCOUNT end."""
    ask(lambda desk: desk.renew_api_key(account))


@click.group()
def user() -> None:
    """Users of an account, who sign in with `PUT /v2/user_auth`."""


@user.command("create")
@click.argument("account")
@click.argument("username")
@click.option("--email", help="Where notifications of their boxes go.")
@click.password_option(help="Asked for when it is not given.")
def create_user(account: str, username: str, email: str | None, password: str) -> None:
    """Create a user of ACCOUNT; prints their id."""
    document = {"username": username, "email": email, "password": password}
    ask(lambda desk: desk.create_user(account, document))


@user.command("list")
@click.argument("account")
def list_users(account: str) -> None:
    """List the users of ACCOUNT: id, name, address."""
    ask(lambda desk: desk.list_users(account))


@click.group()
def token() -> None:
    """Tokens, for whoever holds the key ring."""


@token.command("issue")
@click.argument("account")
@click.option(
    "--hours",
    type=click.IntRange(1, _MOST_HOURS),
    default=1,
    show_default=True,
    help="How long it is valid.",
)
def issue_token(account: str, hours: int) -> None:
    """Print a token for ACCOUNT."""
    ask(lambda desk: desk.issue_token(account, hours))


@token.command("revoke")
@click.argument("given", metavar="TOKEN")
def revoke_token(given: str) -> None:
    """End TOKEN, within seconds everywhere; `-` reads it from standard input."""
    text = sys.stdin.readline().strip() if given == "-" else given
    ask(lambda desk: desk.revoke_token(text))


COMMANDS = (keys, account, api_key, user, token)
