"""Command that moves an account to another deployment."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli.running import run, settings_of

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("move")
@click.argument("account")
@click.option(
    "--to", "url", required=True, metavar="URL", help="Public address of the other deployment."
)
@click.option(
    "--target-settings",
    "file",
    required=True,
    type=_FILE,
    help="NAME=VALUE lines: the AFTERTONE_* settings of the other deployment, and the AWS_* "
    "credentials of its bucket.",
)
@click.option(
    "--below",
    metavar="ID",
    help="Id of the new parent in the other deployment. Default: its root account.",
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest time to wait until all events are published and all erasures finished.",
)
@click.option("--confirm", is_flag=True, help="Delete what a moved account left here.")
@click.option("--reverse", is_flag=True, help="Serve a moved account here again.")
def move_account(
    account: str,
    url: str,
    file: Path,
    below: str | None,
    wait_s: float,
    confirm: bool,
    reverse: bool,
) -> None:
    """Move ACCOUNT and all accounts below it to another deployment.

    The account is read-only for about half a minute: changes get a 503 with Retry-After. Then this
    deployment redirects all requests to URL (308). A move that fails, or is ended with Ctrl-C,
    makes the account writable again. One that was killed leaves it read-only: run it again, and it
    continues, or run it with --reverse. Until --confirm, --reverse takes the account back, if it
    was not changed meanwhile; it also removes an incomplete copy. Both deployments must have the
    same release, pepper and encryption keys. ACCOUNT is an id.
    """
    if confirm and reverse:
        raise click.UsageError("--confirm and --reverse exclude each other.")
    from service.cli.move_commands import MoveChoice, move

    choice = MoveChoice.CONFIRM if confirm else MoveChoice.REVERSE if reverse else MoveChoice.MOVE
    click.echo(run(move(settings_of("cli"), file, account, url, below, wait_s, choice)))
