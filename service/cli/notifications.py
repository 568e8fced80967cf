"""Commands about notifications: deliveries, lamps and mails."""

from __future__ import annotations

from typing import Any, BinaryIO

import click

from service.cli.running import run, settings_of
from service.domain.delivery import Status
from service.settings import SettingsError


@click.group()
def deliveries() -> None:
    """List, retry and drop deliveries.

    A delivery is the work of a notifier channel for one target of an event.
    """


_CHANNEL = click.option("--channel", help="Select deliveries of this channel.")
_TARGET = click.option("--target", help="Select deliveries to this address or subscription.")
_ACCOUNT = click.option(
    "--account", "account_id", type=click.UUID, help="Select deliveries of this account id."
)
_EVENT = click.option(
    "--event", "event_id", type=click.UUID, help="Select deliveries of this event id."
)
_ALL = click.option("--all", "select_all", is_flag=True, help="Select all deliveries.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@deliveries.command("list")
@click.option(
    "--status",
    type=click.Choice([status.value for status in Status]),
    help="Select deliveries with this status.",
)
@_CHANNEL
@_ACCOUNT
@click.option(
    "--limit",
    type=click.IntRange(1, 2**31 - 1),
    default=50,
    show_default=True,
    help="Maximum number of deliveries.",
)
@_JSON
def list_deliveries(limit: int, as_json: bool, **filters: Any) -> None:
    """List deliveries, newest first."""
    from service.cli.deliveries import list_deliveries

    settings = settings_of("deliveries")
    click.echo(run(list_deliveries(settings, filters, limit, as_json=as_json)))


@deliveries.command("show")
@click.argument("account_id", type=click.UUID)
@click.argument("event_id", type=click.UUID)
@_CHANNEL
@_TARGET
@_JSON
def show_deliveries(as_json: bool, **filters: Any) -> None:
    """Show all details of the deliveries of an event."""
    from service.cli.deliveries import show_deliveries

    settings = settings_of("deliveries")
    click.echo(run(show_deliveries(settings, filters, as_json=as_json)))


@deliveries.command("retry")
@_CHANNEL
@_TARGET
@_ACCOUNT
@_EVENT
@_ALL
def retry_deliveries(select_all: bool, **filters: Any) -> None:
    """Retry dead deliveries, with the full number of attempts."""
    from service.cli.deliveries import retry_deliveries

    _check_restricted(select_all, filters)
    click.echo(run(retry_deliveries(settings_of("deliveries"), filters)))


@deliveries.command("drop")
@click.option(
    "--status", type=click.Choice(["pending", "dead"]), help="Select deliveries with this status."
)
@_CHANNEL
@_TARGET
@_ACCOUNT
@_EVENT
@_ALL
def drop_deliveries(select_all: bool, **filters: Any) -> None:
    """Cancel pending or dead deliveries. A dropped delivery is not retried."""
    from service.cli.deliveries import drop_deliveries

    _check_restricted(select_all, filters)
    click.echo(run(drop_deliveries(settings_of("deliveries"), filters)))


def _check_restricted(select_all: bool, filters: dict[str, Any]) -> None:
    if not select_all and not any(filters.values()):
        raise click.UsageError("Select deliveries with an option, or all of them with --all.")


@click.group()
def mwi() -> None:
    """Manage the message-waiting lamps."""


@mwi.command("resync")
def resync_lamps() -> None:
    """Set every lamp from the counts of its box, in NATS and on Asterisk."""
    from service.cli.progress import ProgressBar
    from service.wiring.lamps import resync_lamps

    with ProgressBar("lamps") as bar:
        count = run(resync_lamps(settings_of("mwi"), bar))
    click.echo(f"{count} lamps set")


@click.group()
def email() -> None:
    """Inspect the mails of the e-mail channel."""


@email.command("preview")
@click.argument("kind", type=click.Choice(["message", "full", "confirm"]), default="message")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "eml"]),
    default="text",
    show_default=True,
    help="Print the text part, the HTML part or the whole mail.",
)
@click.option("--output", type=click.File("wb"), default="-", help="Write to this file.")
def preview_email(kind: str, form: str, output: BinaryIO) -> None:
    """Print a sample mail about a new message (`message`) or about a full box (`full`)."""
    from service.wiring.notifiers import preview_mail
    from service.workers.channels.email import MailKind

    try:
        rendered, mail = preview_mail(settings_of("email"), MailKind(kind))
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    text = f"Subject: {rendered.subject}\n\n{rendered.text}".encode()
    output.write({"text": text, "html": rendered.html.encode(), "eml": mail.content}[form])


COMMANDS = (deliveries, mwi, email)
