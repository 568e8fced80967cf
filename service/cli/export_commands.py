"""Runs an export for the command line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import msgspec

from service.cli.import_commands import INCOMPLETE
from service.cli.progress import ProgressBar
from service.settings import Settings
from service.transfer.archive.bucket import BucketDestination
from service.transfer.archive.destination import Destination, ExportFailed, FileDestination
from service.wiring.factories import open_audio
from service.wiring.transfer import open_transfer_tools


class ExportConsole(ProgressBar):
    """Progress bar that prints the names of missing audio."""

    def report_missing(self, name: str) -> None:
        click.echo(f"missing or damaged in the bucket: {name}", err=True)


async def run_export(settings: Settings, account: str, target: str) -> int:
    """Exports an account and returns the exit code. Raises ClickException."""
    async with open_transfer_tools(settings) as tools:
        account_id = (await tools.accounts.find(tools.root, account)).account_id
        try:
            with ExportConsole("Exporting") as console:
                async with _open_destination(settings, target) as destination:
                    manifest = await tools.exporter(console).run(account_id, destination)
        except ExportFailed as error:
            raise click.ClickException(str(error)) from None
    counts = manifest.counts.items()
    click.echo(f"{target}: " + ", ".join(f"{count} {_words(name)}" for name, count in counts))
    return INCOMPLETE if manifest.counts["missing_audio"] else 0


@asynccontextmanager
async def _open_destination(settings: Settings, target: str) -> AsyncIterator[Destination]:
    """Opens a file, or an object of any bucket at the S3 endpoint of the service."""
    if not target.startswith("s3://"):
        async with FileDestination.open(Path(target)) as file:
            yield file
        return
    bucket, _, key = target.removeprefix("s3://").partition("/")
    if not (bucket and key):
        raise click.UsageError("The target of an export to S3 is s3://BUCKET/KEY.")
    async with open_audio(msgspec.structs.replace(settings, s3_bucket=bucket)) as store:
        yield await BucketDestination.open(store.multipart, key)


def _words(name: str) -> str:
    return name.replace("_", " ")
