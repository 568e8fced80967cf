"""Command that requests transcriptions of stored messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from service.cli.running import run, settings_of
from service.domain.transcription import MAX_REQUESTS

if TYPE_CHECKING:
    from service.domain.transcription import TranscriptionSelection
    from service.settings import Settings

_MOMENT = click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"])


@click.command()
@click.argument("account")
@click.option("--vmbox", "vmbox_id", type=click.UUID, help="Only messages of this box.")
@click.option("--since", metavar="TIME", type=_MOMENT, help="Earliest time (UTC), inclusive.")
@click.option("--until", metavar="TIME", type=_MOMENT, help="Latest time (UTC), exclusive.")
@click.option("--again", is_flag=True, help="Also messages that have a text.")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_REQUESTS),
    default=1000,
    show_default=True,
    help="Maximum number of messages, the oldest first.",
)
def transcribe(
    account: str,
    vmbox_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    *,
    again: bool,
) -> None:
    """Request transcriptions of messages of ACCOUNT that have no text.

    The channel `transcription` makes them; it must be running. The command can be stopped and run
    again at any time: it skips messages that were requested in the last hour.
    """
    from service.domain.transcription import TranscriptionSelection

    selection = TranscriptionSelection(
        vmbox_id=vmbox_id,
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
        again=again,
    )
    count = run(_request(settings_of("cli"), account, selection, limit))
    click.echo(f"{count} transcriptions requested")


async def _request(
    settings: Settings, account: str, selection: TranscriptionSelection, limit: int
) -> int:
    from service.cli.account_commands import open_account_commands
    from service.cli.progress import ProgressBar
    from service.usecases.transcriptions import Transcriptions

    async with open_account_commands(settings) as commands:
        account_id = (await commands.accounts.find(commands.root, account)).account_id
        transcriptions = Transcriptions(commands.accounts.database)
        with ProgressBar("Requesting") as bar:
            bar.set_total(await transcriptions.count(account_id, selection, limit))
            return await transcriptions.request_many(account_id, selection, limit, bar.advance)


COMMANDS = (transcribe,)
