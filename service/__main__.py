"""The command line, `aftertone ...`: the only reader of argv."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from uuid import UUID

import click
import uvloop

from service.domain.errors import Invalid, VoicemailError
from service.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from service.wiring.desk import Desk

Result = TypeVar("Result")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="aftertone")
def cli() -> None:
    """Aftertone stores voicemail: messages in Postgres, audio in S3, events on NATS JetStream.

    Settings come from AFTERTONE_* variables. `aftertone dev` needs none: it brings its servers.
    """


@cli.command()
@click.option("--port", default=8000, show_default=True, help="HTTP port; 0 takes any free one.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".aftertone"),
    show_default=True,
    help="Where data, keys and logs are kept.",
)
def dev(port: int, folder: Path) -> None:
    """Run everything on embedded servers, until Ctrl-C."""
    from service import wiring
    from service.embedded.dev import run_dev
    from service.wiring.notifiers import CHANNELS

    command = [sys.executable, "-m", "service"]
    wiring.configure_logs(read_settings({}), "dev")
    _run(
        run_dev(
            folder=folder,
            host="127.0.0.1",
            port=port,
            prepare=lambda environment: wiring.prepare_dev(folder.absolute(), environment),
            processes={
                **{name: [*command, name] for name in ("api", "relay", "keeper")},
                "notifier": [*command, "notifier", *CHANNELS],
            },
        )
    )


@cli.command()
def api() -> None:
    """Serve HTTP. Stateless: run as many as you like."""
    from service import wiring

    settings = _settings("api")
    _run(wiring.run_api(settings))


@cli.command()
@click.option(
    "--republish-since",
    metavar="TIME",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]),
    help="Have events published since TIME (UTC) sent again by the active relay, and exit.",
)
def relay(republish_since: datetime | None) -> None:
    """Publish events. One is active, further ones stand by."""
    from service import wiring

    settings = _settings("relay")
    if republish_since is None:
        _run(wiring.run_relay(settings))
        return
    done = _run(wiring.republish(settings, republish_since.replace(tzinfo=UTC)))
    click.echo(
        f"{done.events} events published until {done.until:%Y-%m-%d %H:%M:%S} UTC go out again"
    )


@cli.command()
@click.argument("channels", metavar="CHANNEL...", nargs=-1, required=True)
def notifier(channels: tuple[str, ...]) -> None:
    """Deliver what happens to the outside; copies share the work.

    CHANNEL is email, webhook, mwi or callback; several run in one process.
    """
    from service.wiring.notifiers import CHANNELS, run_notifiers

    if unknown := sorted(set(channels) - set(CHANNELS)):
        known = ", ".join(CHANNELS)
        raise click.UsageError(f"There is no channel {', '.join(unknown)}; there are {known}.")
    settings = _settings(f"notifier {' '.join(channels)}")
    _run(run_notifiers(settings, tuple(dict.fromkeys(channels))))


@cli.group()
def deliveries() -> None:
    """What notifiers owe, delivered, or gave up: the rows that they work on."""


_CHANNEL = click.option("--channel", help="Only of this channel.")
_TARGET = click.option("--target", help="Only to this target: an address, a subscription.")
_ACCOUNT = click.option("--account", "account_id", type=click.UUID, help="Only of this account.")
_EVENT = click.option("--event", "event_id", type=click.UUID, help="Only of this event.")
_ALL = click.option("--all", "all_of_them", is_flag=True, help="Without any other restriction.")
_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON instead of a table.")
_STATUSES = ("pending", "done", "ignored", "dead", "dropped", "fanned_out")


@deliveries.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only in this state.")
@_CHANNEL
@_ACCOUNT
@click.option("--limit", default=50, show_default=True, help="The newest so many.")
@_JSON
def list_deliveries(
    status: str | None, channel: str | None, account_id: UUID | None, limit: int, as_json: bool
) -> None:
    """List deliveries, newest first."""
    from service.wiring import deliveries as desk

    selection = desk.selection(account_id=account_id, channel=channel, status=status)
    settings = _settings("deliveries")
    click.echo(_run(desk.list_deliveries(settings, selection, limit, as_json=as_json)))


@deliveries.command("show")
@click.argument("account_id", type=click.UUID)
@click.argument("event_id", type=click.UUID)
@_CHANNEL
@_TARGET
@_JSON
def show_deliveries(
    account_id: UUID, event_id: UUID, channel: str | None, target: str | None, as_json: bool
) -> None:
    """Show all that is known of the deliveries of an event."""
    from service.wiring import deliveries as desk

    asked = desk.selection(account_id=account_id, event_id=event_id, channel=channel, target=target)
    click.echo(_run(desk.show_deliveries(_settings("deliveries"), asked, as_json=as_json)))


@deliveries.command("retry")
@_CHANNEL
@_TARGET
@_ACCOUNT
@_EVENT
@_ALL
def retry_deliveries(all_of_them: bool, **asked: Any) -> None:
    """Have dead deliveries tried again, with all their attempts before them."""
    from service.wiring import deliveries as desk

    _check_restricted(all_of_them, asked)
    click.echo(_run(desk.retry_deliveries(_settings("deliveries"), desk.selection(**asked))))


@deliveries.command("drop")
@click.option("--status", type=click.Choice(["pending", "dead"]), help="Only in this state.")
@_CHANNEL
@_TARGET
@_ACCOUNT
@_EVENT
@_ALL
def drop_deliveries(all_of_them: bool, **asked: Any) -> None:
    """Give up deliveries that wait or are dead."""
    from service.wiring import deliveries as desk

    _check_restricted(all_of_them, asked)
    click.echo(_run(desk.drop_deliveries(_settings("deliveries"), desk.selection(**asked))))


def _check_restricted(all_of_them: bool, asked: Mapping[str, Any]) -> None:
    if not all_of_them and not any(asked.values()):
        raise click.UsageError("Say which, or --all.")


@cli.group()
def mwi() -> None:
    """The message-waiting lamps."""


@mwi.command("resync")
def resync_lamps() -> None:
    """Set every lamp anew from the counts of the boxes: in the bucket, and on the switch."""
    from service.wiring.lamps import resync_lamps
    from service.workers.keeper import Bar

    with Bar("lamps") as bar:
        number = _run(resync_lamps(_settings("mwi"), bar))
    click.echo(f"{number} lamps are as their boxes say")


@cli.group()
def email() -> None:
    """The mails that the e-mail channel sends."""


@email.command("preview")
@click.argument("kind", type=click.Choice(["message", "full"]), default="message")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "eml"]),
    default="text",
    show_default=True,
    help="The words, the page, or the whole mail.",
)
@click.option("--output", type=click.File("wb"), default="-", help="A file instead of the screen.")
def preview_email(kind: str, form: str, output: BinaryIO) -> None:
    """Show the mail about a new message, or about a full box, made of invented facts."""
    from service.wiring.notifiers import preview_as

    try:
        output.write(preview_as(_settings("email"), kind, form))
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


@cli.group()
def epoch() -> None:
    """The epoch of this deployment, which orders events before and after a restored backup."""


@epoch.command("raise")
def raise_epoch() -> None:
    """Raise the epoch. For after a restore, with API and keeper stopped."""
    from service import wiring

    click.echo(f"the epoch is {_run(wiring.raise_epoch(_settings('epoch')))} now")


@cli.command()
@click.option("--once", "step", metavar="STEP", help="Run this step alone, now, or `all` of them.")
def keeper(step: str | None) -> None:
    """Do what must be done again and again.

    Steps: partitions, expiry, pending, idempotency, tokens, deliveries, attempts, webhooks, purge,
    orphans, recount. Each may be cut short anywhere and run again, also beside a running keeper.
    """
    from service import wiring

    settings = _settings("keeper")
    _run(wiring.run_keeper(settings) if step is None else _keep_once(settings, step))


async def _keep_once(settings: Settings, wanted: str) -> None:
    from service import wiring
    from service.workers.keeper import Bar, UnknownStep, summary

    async with wiring.keeper(settings) as running:
        try:
            steps = running.named(wanted)
        except UnknownStep as error:
            raise click.UsageError(str(error)) from None
        for step in steps:
            with Bar(step.name) as bar:
                done = await running.once(step, bar)
            click.echo(summary(step.name, done))


@cli.command()
def migrate() -> None:
    """Bring the database up to date. Safe to run at any time, by several at once."""
    from service import wiring

    for name in _run(wiring.run_migrate(_settings("migrate"))):
        click.echo(f"applied {name}")
    click.echo("the database is up to date")


@cli.group()
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
    click.echo(f"wrote {file}; it counts for processes that start from now on")


@cli.group()
def account() -> None:
    """Accounts, for whoever holds the database. ACCOUNT is an id, a realm or a name."""


@account.command("create-root")
@click.option("--name", required=True, help="The name of the deployment's first account.")
@click.option("--realm", required=True, help="Its SIP realm, such as voice.example.com.")
def create_root(name: str, realm: str) -> None:
    """Create the root account, or show it when there is one; prints its id and its API key."""
    from service.wiring.desk import open_operator

    async def work(settings: Settings) -> tuple[str, str]:
        async with open_operator(settings) as accounts:
            root = await accounts.create_root(name, realm)
            key = await accounts.api_key(await accounts.sessions.operator(), root.account_id)
            return root.account_id.hex, key

    account_id, key = _run(work(_settings("account")))
    click.echo(f"account_id {account_id}\napi_key    {key}")


@account.command("create")
@click.option("--name", required=True, help="Unique in the deployment, whatever its case.")
@click.option("--realm", required=True, help="Its SIP realm, unique too.")
@click.option("--parent", metavar="ACCOUNT", help="What it lies below; the root by default.")
def create_account(name: str, realm: str, parent: str | None) -> None:
    """Create an account below another; prints its id and its API key."""
    _ask(lambda desk: desk.create_account(name, realm, parent))


@account.command("list")
@click.option("--below", metavar="ACCOUNT", help="Only what lies below this one.")
def list_accounts(below: str | None) -> None:
    """List all accounts: id, name, realm."""
    _ask(lambda desk: desk.list_accounts(below))


@account.command("show")
@click.argument("account")
def show_account(account: str) -> None:
    """Show an account as JSON."""
    _ask(lambda desk: desk.show_account(account))


@account.command("delete")
@click.argument("account")
@click.confirmation_option(prompt="Its boxes, messages and users go with it. Delete it?")
def delete_account(account: str) -> None:
    """Delete an account that has none below it, with its boxes, messages and users."""
    _ask(lambda desk: desk.delete_account(account))


@cli.group("api-key")
def api_key() -> None:
    """The API key of an account: `PUT /v2/api_auth` makes tokens of it."""


@api_key.command("show")
@click.argument("account")
def show_api_key(account: str) -> None:
    """Print the API key of ACCOUNT."""
    _ask(lambda desk: desk.api_key(account))


@api_key.command("renew")
@click.argument("account")
def renew_api_key(account: str) -> None:
    """Make and print a new API key; the old one and all tokens of ACCOUNT end."""
    _ask(lambda desk: desk.renew_api_key(account))


@cli.group()
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
    _ask(lambda desk: desk.create_user(account, document))


@user.command("list")
@click.argument("account")
def list_users(account: str) -> None:
    """List the users of ACCOUNT: id, name, address."""
    _ask(lambda desk: desk.list_users(account))


@cli.group()
def token() -> None:
    """Tokens, for whoever holds the key ring."""


@token.command("issue")
@click.argument("account")
@click.option("--hours", default=1, show_default=True, help="How long it is valid.")
def issue_token(account: str, hours: int) -> None:
    """Print a token for ACCOUNT."""
    _ask(lambda desk: desk.issue_token(account, hours))


@token.command("revoke")
@click.argument("given", metavar="TOKEN")
def revoke_token(given: str) -> None:
    """End TOKEN, within seconds everywhere; `-` reads it from standard input."""
    text = sys.stdin.readline().strip() if given == "-" else given
    _ask(lambda desk: desk.revoke_token(text))


def _ask(question: Callable[[Desk], Awaitable[str]]) -> None:
    """Prints what the operator's desk answers."""
    from service.wiring.desk import open_desk

    async def work(settings: Settings) -> str:
        async with open_desk(settings) as desk:
            return await question(desk)

    click.echo(_run(work(_settings("cli"))))


def _settings(process: str) -> Settings:
    from service import wiring

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    wiring.configure_logs(settings, process)
    return settings


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs to the end; what can be expected to go wrong ends in one sentence and exit code 1."""
    from service.embedded.errors import EmbeddedError
    from service.postgres.migrate import MigrationError
    from service.security import KeyRingError
    from service.workers.relay import RepublicationRefused

    try:
        return uvloop.run(work)
    except (
        EmbeddedError,
        MigrationError,
        KeyRingError,
        RepublicationRefused,
        SettingsError,
    ) as error:
        raise click.ClickException(str(error)) from None
    except VoicemailError as error:
        detail = getattr(error, "reason", "")
        if isinstance(error, Invalid):
            detail = ", ".join(f"{problem.field}: {problem.rule}" for problem in error.problems)
        raise click.ClickException(f"{error}{f' ({detail})' if detail else ''}") from None
    except asyncio.CancelledError:
        raise SystemExit(130) from None


def main() -> None:
    """The entry point of the `aftertone` command."""
    cli(prog_name="aftertone")


if __name__ == "__main__":
    main()
