"""Commands that export voicemail to archives, and import it from them and from other systems."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.cli.running import run, settings_of

if TYPE_CHECKING:
    from service.transfer.source import Source

_MOMENT = click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OPTIONS = (
    click.option("--dry-run", is_flag=True, help="Print what would be imported, and exit."),
    click.option("--yes", is_flag=True, help="Import without a dry run and a question."),
    click.option(
        "--since", metavar="TIME", type=_MOMENT, help="Import messages since TIME (UTC) only."
    ),
    click.option(
        "--below", metavar="ACCOUNT", help="Parent of new accounts. Default: the root account."
    ),
    click.option(
        "--into", metavar="ACCOUNT", help="Existing account that replaces the top accounts."
    ),
)


_since: ContextVar[datetime | None] = ContextVar("since", default=None)
"""Value of --since, for sources that read less because of it."""


class SourceGroup(click.Group):
    """Group of sources: `import --from-NAME ...` is the same as `import NAME ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("--from-"):
            name, equals, value = args[0].removeprefix("--from-").partition("=")
            args = [name, *([value] if equals else []), *args[1:]]
        return super().parse_args(ctx, args)


@click.group("import", cls=SourceGroup)
def import_() -> None:
    """Import voicemail: `aftertone import --from-SOURCE ...`.

    A dry run comes first. It prints the target of each account and box. An import can be
    interrupted and repeated: what exists is not imported again. Nothing is mailed. The exit code is
    3 when something could not be imported.
    """


def source_command(
    name: str, *, needs_into: bool = False
) -> Callable[[Callable[..., Callable[[], Source]]], click.Command]:
    """Adds a source. The function gets its own arguments and returns a function that opens it.

    `needs_into`: the source has no accounts.
    """

    def decorate(function: Callable[..., Callable[[], Source]]) -> click.Command:
        def command(
            *,
            dry_run: bool,
            yes: bool,
            since: datetime | None,
            below: str | None,
            into: str | None,
            **arguments: Any,
        ) -> None:
            from service.cli.import_commands import ImportChoices, check_choices, run_import

            choices = ImportChoices(
                dry_run=dry_run,
                yes=yes,
                since=since and since.replace(tzinfo=UTC),
                below=below,
                into=into,
            )
            if needs_into and into is None:
                raise click.UsageError("This source has no accounts: add --into ACCOUNT.")
            check_choices(choices)
            _since.set(choices.since)
            code = run(run_import(settings_of("cli"), function(**arguments), choices))
            raise SystemExit(code)

        command.__doc__ = function.__doc__
        # click collects the decorators of the source here.
        command.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        decorated: Any = command
        for option in reversed(_OPTIONS):
            decorated = option(decorated)
        return import_.command(name)(decorated)

    return decorate


@source_command("archive")
@click.argument("file", type=_FILE)
def import_archive(file: Path) -> Callable[[], Source]:
    """Import an archive that `aftertone export` has written. Ids are kept."""
    from service.transfer.archive.source import ArchiveSource

    return lambda: ArchiveSource(file)


@source_command("asterisk")
@click.argument("spool", type=_FOLDER)
@click.option(
    "--config",
    type=_FILE,
    help="voicemail.conf. Without it, a box has its number as its name and no PIN.",
)
@click.option(
    "--realm",
    required=True,
    metavar="DOMAIN",
    help="The context `sales` becomes the account with the realm sales.DOMAIN.",
)
def import_asterisk(spool: Path, config: Path | None, realm: str) -> Callable[[], Source]:
    """Import a voicemail spool of Asterisk, such as /var/spool/asterisk/voicemail.

    Asterisk may be running. The spool is not changed.
    """
    from service.transfer.asterisk.source import AsteriskSource

    return lambda: AsteriskSource(spool, config, realm)


@source_command("fusionpbx")
@click.argument("database")
@click.option(
    "--files",
    type=_FOLDER,
    help="Folder storage/voicemail of the switch, or a copy, for audio outside the database.",
)
def import_fusionpbx(database: str, files: Path | None) -> Callable[[], Source]:
    """Import the DATABASE of FusionPBX: a postgresql:// URL or a SQLite file.

    The database is not changed. Each domain becomes an account. The environment variable PGPASSWORD
    may have the password.
    """
    from service.transfer.freeswitch.audio import StorageFolder
    from service.transfer.freeswitch.fusionpbx_source import FusionPbxSource
    from service.transfer.freeswitch.tables import Tables

    return lambda: FusionPbxSource(Tables(database), StorageFolder(files))


@source_command("freeswitch")
@click.argument("database")
@click.option(
    "--files",
    type=_FOLDER,
    required=True,
    help="Folder storage/voicemail of the switch, or a copy.",
)
def import_freeswitch(database: str, files: Path) -> Callable[[], Source]:
    """Import the DATABASE of mod_voicemail: a SQLite file or a postgresql:// URL.

    The database is not changed. Each domain becomes an account.
    """
    from service.transfer.freeswitch.audio import StorageFolder
    from service.transfer.freeswitch.freeswitch_source import FreeSwitchSource
    from service.transfer.freeswitch.tables import Tables

    return lambda: FreeSwitchSource(Tables(database), StorageFolder(files))


_RATE = click.option(
    "--rate",
    type=click.FloatRange(0.1, 1000),
    default=20.0,
    show_default=True,
    help="Maximum number of requests per second.",
)


@source_command("kazoo")
@click.argument("url")
@click.option("--user", help="User name. Without it, an API key is used.")
@click.option("--realm", help="Realm of the user's account.")
@_RATE
def import_kazoo(
    url: str, user: str | None, realm: str | None, rate: float
) -> Callable[[], Source]:
    """Import from a running KAZOO, for example https://kazoo.example.com:8443.

    Imports the account of the credentials and all accounts below it. The environment variable
    KAZOO_API_KEY has the API key, or KAZOO_PASSWORD the password of the user; otherwise the command
    prompts for it. Passwords of users cannot be imported.
    """
    from service.transfer.kazoo import KazooCredentials, KazooSource

    if user is None:
        credentials = KazooCredentials(api_key=_secret("KAZOO_API_KEY", "API key"))
    elif realm is None:
        raise click.UsageError("--user needs --realm.")
    else:
        password = _secret("KAZOO_PASSWORD", "Password")
        credentials = KazooCredentials(username=user, password=password, realm=realm)
    since = _since.get()
    return lambda: KazooSource(url, credentials, since=since, rate=rate)


@source_command("mailboxes", needs_into=True)
@click.argument("url")
@click.option("--reseller", required=True, help="X-Auth-Reseller of the API.")
@click.option("--user", required=True, help="X-Auth-User of the API.")
@click.option("--for", "act_for", metavar="ACCOUNT", help="X-Auth-For of the API.")
@_RATE
def import_mailboxes(
    url: str, reseller: str, user: str, act_for: str | None, rate: float
) -> Callable[[], Source]:
    """Import from a running mailbox API (`/voip/mailbox`). Needs --into.

    The environment variable MAILBOX_PASSWORD has the password; otherwise the command prompts for
    it. The API has no numbers: new boxes get the lowest free ones. It does not offer greetings.
    """
    from service.transfer.mailbox_api import MailboxApiSource, MailboxCredentials

    credentials = MailboxCredentials(
        reseller=reseller,
        user=user,
        password=_secret("MAILBOX_PASSWORD", "Password"),
        act_for=act_for,
    )
    return lambda: MailboxApiSource(url, credentials, rate=rate)


def _secret(variable: str, label: str) -> str:
    """Returns a secret from the environment, or prompts for it. It is never an argument."""
    secret: str = os.environ.get(variable) or click.prompt(label, hide_input=True)
    return secret


@click.command()
@click.argument("account")
@click.option(
    "--to",
    "target",
    metavar="FILE",
    required=True,
    help="Archive to write, for example acme.tar.zst or s3://bucket/acme.tar.zst.",
)
def export(account: str, target: str) -> None:
    """Export ACCOUNT and all accounts below it to an archive.

    The archive contains users without passwords, boxes with their PINs, greetings, messages and the
    trash. Run an interrupted export again: it continues. ACCOUNT is an id, a realm or a name. The
    exit code is 3 when the bucket does not have the audio of a message.
    """
    from service.cli.export_commands import run_export

    raise SystemExit(run(run_export(settings_of("cli"), account, target)))


COMMANDS = (export, import_)
