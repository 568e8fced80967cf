"""Runs an import for the command line: dry run, question, progress bar, report, exit code."""

import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from typing import IO

import click
import msgspec

from service.cli.progress import ProgressBar
from service.settings import Settings
from service.transfer.report import ImportReport, ImportResult, Mapped, RecordKind
from service.transfer.source import Skipped, Source, SourceFailed
from service.transfer.structure import ImportOptions
from service.wiring.transfer import TransferTools, open_transfer_tools

INCOMPLETE = 3
"""Exit code when some records could not be imported."""


class ImportChoices(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the command. Accounts are an id, a realm or a name."""

    dry_run: bool
    yes: bool
    since: datetime | None
    below: str | None
    into: str | None


class ImportConsole(ProgressBar):
    """Prints the targets of accounts and boxes; keeps the list of skipped records in a file."""

    def __init__(self, label: str, skipped_file: IO[str], *, prints_targets: bool) -> None:
        super().__init__(label)
        self._skipped_file = skipped_file
        self._prints_targets = prints_targets

    def report_mapped(self, mapped: Mapped) -> None:
        if self._prints_targets:
            click.echo(f"{mapped.kind:8} {mapped.result:9} {mapped.target}  {mapped.name}")

    def report_skipped(self, kind: RecordKind, skipped: Skipped) -> None:
        line = f"{kind:8} {skipped.name}: {skipped.reason}"
        self._skipped_file.write(line.replace("\n", " ") + "\n")


async def run_import(
    settings: Settings, open_source: Callable[[], Source], choices: ImportChoices
) -> int:
    """Imports a source and returns the exit code. Raises ClickException."""
    async with open_transfer_tools(settings) as tools:
        options = await _options(tools, choices)
        try:
            source = open_source()
            try:
                return await _plan_and_run(tools, source, options, choices)
            finally:
                await source.close()
        except SourceFailed as error:
            raise click.ClickException(str(error)) from None


async def _plan_and_run(
    tools: TransferTools, source: Source, options: ImportOptions, choices: ImportChoices
) -> int:
    if not choices.yes or choices.dry_run:
        plan = msgspec.structs.replace(options, dry_run=True)
        code = await _run(tools, source, plan, "Reading", prints_targets=True)
        if choices.dry_run:
            return code
        click.confirm("Import this?", abort=True)
    return await _run(tools, source, options, "Importing", prints_targets=choices.yes)


async def _options(tools: TransferTools, choices: ImportChoices) -> ImportOptions:
    async def find(reference: str | None) -> str:
        return reference or tools.root.account.account_id.hex

    below = await tools.accounts.find(tools.root, await find(choices.below))
    into = choices.into and await tools.accounts.find(tools.root, choices.into)
    return ImportOptions(
        below=below.facts,
        into=into.facts if into else None,
        since=choices.since,
    )


async def _run(
    tools: TransferTools,
    source: Source,
    options: ImportOptions,
    label: str,
    *,
    prints_targets: bool,
) -> int:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as skipped_file:
        console = ImportConsole(label, skipped_file, prints_targets=prints_targets)
        report = ImportReport(console)
        with console:
            await tools.importer(source, options, report).run()
        click.echo(_table(report))
        if report.expired:
            click.echo(
                f"{report.expired} messages are older than their retention and will expire: "
                "set message_retention_days of their account first to keep them."
            )
        if report.is_complete:
            return 0
        click.echo("\nNot imported, or not completely:")
        skipped_file.seek(0)
        for line in skipped_file:
            click.echo(line, nl=False)
        return INCOMPLETE


def _table(report: ImportReport) -> str:
    lines = [f"{'':10}" + "".join(f"{result:>10}" for result in ImportResult)]
    for kind in RecordKind:
        counts = "".join(f"{report.counts[kind, result]:>10}" for result in ImportResult)
        lines.append(f"{kind:10}{counts}")
    return "\n".join(lines)


def check_choices(choices: ImportChoices) -> None:
    """Raises UsageError when nobody can answer the question."""
    if not (choices.yes or choices.dry_run or sys.stdin.isatty()):
        raise click.UsageError("Add --dry-run to see the import, or --yes to start it.")
