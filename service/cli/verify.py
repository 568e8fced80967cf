"""Command that compares the database with the bucket."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from service.cli.running import CommandWithList, run, settings_of

if TYPE_CHECKING:
    from service.workers.verification import Findings

_FOUND = 3
_INTERRUPTED = 130
_MAX_SAMPLE = 1_000_000


def _kinds() -> Iterable[tuple[str, str]]:
    from service.workers.verification.findings import MEANINGS

    return [(kind.value, text) for kind, text in MEANINGS.items()]


@click.command(cls=CommandWithList, title="Findings", entries=_kinds)
@click.option("--account", metavar="ACCOUNT", help="Only this account: id, realm or name.")
@click.option(
    "--sample",
    "sample_size",
    type=click.IntRange(0, _MAX_SAMPLE),
    default=1000,
    show_default=True,
    help="Read this number of random recordings and compare their SHA-256.",
)
@click.option("--all", "all_audio", is_flag=True, help="Read all recordings.")
@click.option("--repair", is_flag=True, help="Repair what is safe to repair.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a report as JSON to this file.",
)
def verify(
    account: str | None,
    sample_size: int,
    report: Path | None,
    *,
    all_audio: bool,
    repair: bool,
) -> None:
    """Compare messages and greetings with the bucket, and counts with messages.

    Runs beside the service, and can be stopped at any time. It needs the URL of the owner of the
    database and the bucket. --repair corrects counts and stored bytes, and deletes objects without
    a row that are older than AFTERTONE_ORPHAN_GRACE_HOURS. It never deletes a row.

    Exit codes: 0: nothing was found, or all of it was repaired. 1: a server failed, and the check
    is not complete. 3: findings remain. 130: interrupted.
    """
    from service.cli.progress import ProgressBar
    from service.domain.clock import utc_now
    from service.wiring.verification import run_verification
    from service.workers.verification import Findings

    sample = None if all_audio else sample_size
    scope = {"account": account, "sample": "all" if all_audio else sample_size, "repair": repair}
    findings = Findings(utc_now, scope)
    settings = settings_of("cli")
    try:
        run(
            run_verification(
                settings,
                findings,
                ProgressBar,
                account=account,
                sample_size=sample,
                is_repairing=repair,
            )
        )
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    finally:
        click.echo(_summary(findings))
        if report is not None:
            _write(report, findings)
    if findings.remaining:
        raise SystemExit(_FOUND)


def _summary(findings: Findings) -> str:
    checked = ", ".join(
        f"{number} {name.replace('_', ' ')}" for name, number in findings.checked.items()
    )
    lines = [f"checked: {checked or 'nothing'}"]
    for kind, found in findings.found.items():
        repaired = findings.repaired[kind]
        lines.append(f"{kind.value}: {found} found, {repaired} repaired")
    if not findings.is_complete:
        lines.append("not complete")
    elif not findings.found:
        lines.append("no differences")
    return "\n".join(lines)


def _write(report: Path, findings: Findings) -> None:
    """Replaces the file as a whole, so that it is never half-written."""
    content = msgspec.json.format(msgspec.json.encode(findings.report()), indent=2)
    try:
        with tempfile.NamedTemporaryFile(dir=report.parent, delete=False) as file:
            file.write(content + b"\n")
        os.replace(file.name, report)
    except OSError as error:
        raise click.ClickException(
            f"{report} cannot be written: {error.strerror}. Choose another file."
        ) from None


COMMANDS = (verify,)
