"""Runs an export for the command line."""

from pathlib import Path

import click

from service.cli.import_commands import INCOMPLETE
from service.cli.progress import ProgressBar
from service.settings import Settings
from service.transfer.archive.destination import ExportFailed, FileDestination
from service.wiring.transfer import open_transfer_tools


class ExportConsole(ProgressBar):
    """Progress bar that prints the names of missing audio."""

    def report_missing(self, name: str) -> None:
        click.echo(f"missing or damaged in the bucket: {name}", err=True)


async def run_export(settings: Settings, account: str, target: Path) -> int:
    """Exports an account and returns the exit code. Raises ClickException."""
    async with open_transfer_tools(settings) as tools:
        account_id = (await tools.accounts.find(tools.root, account)).account_id
        try:
            with ExportConsole("Exporting") as console:
                async with FileDestination.open(target) as destination:
                    manifest = await tools.exporter(console).run(account_id, destination)
        except ExportFailed as error:
            raise click.ClickException(str(error)) from None
    counts = manifest.counts.items()
    click.echo(f"{target}: " + ", ".join(f"{count} {_words(name)}" for name, count in counts))
    return INCOMPLETE if manifest.counts["missing_audio"] else 0


def _words(name: str) -> str:
    return name.replace("_", " ")
