"""Commands about notifications: what is owed, lamps, mails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO
from uuid import UUID

import click

from service.cli.running import run, settings_of
from service.settings import SettingsError


@click.group()
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
@click.option(
    "--limit",
    type=click.IntRange(1, 2**31 - 1),
    default=50,
    show_default=True,
    help="The newest so many.",
)
@_JSON
def list_deliveries(
    status: str | None, channel: str | None, account_id: UUID | None, limit: int, as_json: bool
) -> None:
    """List deliveries, newest first."""
    from service.wiring import deliveries as desk

    selection = desk.selection(account_id=account_id, channel=channel, status=status)
    settings = settings_of("deliveries")
    click.echo(run(desk.list_deliveries(settings, selection, limit, as_json=as_json)))


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
    click.echo(run(desk.show_deliveries(settings_of("deliveries"), asked, as_json=as_json)))


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
    click.echo(run(desk.retry_deliveries(settings_of("deliveries"), desk.selection(**asked))))


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
    click.echo(run(desk.drop_deliveries(settings_of("deliveries"), desk.selection(**asked))))


def _check_restricted(all_of_them: bool, asked: Mapping[str, Any]) -> None:
    if not all_of_them and not any(asked.values()):
        raise click.UsageError("Say which, or --all.")


@click.group()
def mwi() -> None:
    """The message-waiting lamps."""


@mwi.command("resync")
def resync_lamps() -> None:
    """Set every lamp anew from the counts of the boxes: in the bucket, and on the switch."""
    from service.cli.progress import ProgressBar
    from service.wiring.lamps import resync_lamps

    with ProgressBar("lamps") as bar:
        number = run(resync_lamps(settings_of("mwi"), bar))
    click.echo(f"{number} lamps are as their boxes say")


@click.group()
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
        output.write(preview_as(settings_of("email"), kind, form))
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


COMMANDS = (deliveries, mwi, email)
