"""Commands about the months of messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from service.cli.running import run, settings_of
from service.settings import Settings

if TYPE_CHECKING:
    from service.workers.keeper.months import DropResult, MonthUsage

_HEADINGS = ("MONTH", "STATUS", "MESSAGES", "REMOVED", "TABLE", "AUDIO")
_MONTH = re.compile(r"[0-9]{4}(0[1-9]|1[0-2])")
_MAX_MONTHS = 600
_NOT_DROPPED = 3


class _Month(click.ParamType[list[int]]):
    """Month `YYYYMM`, or a range `YYYYMM-YYYYMM`."""

    name = "month"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        from service.domain.message import month_after

        first, _, last = value.partition("-")
        if not (_MONTH.fullmatch(first) and _MONTH.fullmatch(last or first)):
            self.fail(f"{value!r} is not a month YYYYMM or a range YYYYMM-YYYYMM.", param, ctx)
        months = [int(first)]
        while months[-1] < int(last or first) and len(months) < _MAX_MONTHS:
            months.append(month_after(months[-1]))
        return months


_MONTHS = click.argument("months", metavar="[MONTH]...", nargs=-1, type=_Month())


@click.group()
def months() -> None:
    """List, create and drop months of messages.

    A month is one partition in the database and one prefix in the bucket. These commands need the
    URL of the owner of the database. MONTH is YYYYMM, or a range YYYYMM-YYYYMM.
    """


@months.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_months(*, as_json: bool) -> None:
    """List months with their status, messages and sizes.

    Counts all messages, which takes some seconds per million. REMOVED messages are in the trash,
    held, or wait for the purge. A month with the status `empty`, `interrupted` or `dropped` is
    dropped by the next run of the keeper or of `aftertone months drop`.
    """
    usages = run(_list(settings_of("cli")))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(usages), indent=2).decode())
    else:
        click.echo(_table(usages))


@months.command("ensure")
@_MONTHS
def ensure_months(months: tuple[list[int], ...]) -> None:
    """Create months that do not exist. Without MONTH: those that the keeper maintains."""
    from service.wiring.months import ensure_months

    created = run(ensure_months(settings_of("cli"), [month for part in months for month in part]))
    for name in created:
        click.echo(f"created {name}")
    if not created:
        click.echo("all of them exist")


@months.command("drop")
@_MONTHS
@click.option("--dry-run", is_flag=True, help="Print what would be dropped, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drop_months(months: tuple[list[int], ...], *, dry_run: bool, as_json: bool) -> None:
    """Drop months in which no message is retained, held or in the trash, and their objects.

    Without MONTH: all of them. Can be stopped at any time; the next run continues. Exit code 3: a
    MONTH was not dropped, or its drop must be repeated.
    """
    from service.workers.keeper.months import DropResult

    named = [month for part in months for month in part]
    results, deleted = run(_drop(settings_of("cli"), named, dry_run=dry_run))
    if as_json:
        document = {"months": results, "objects_deleted": deleted}
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    else:
        click.echo(_drop_text(results, deleted))
    done = {DropResult.DROPPED, DropResult.WOULD_DROP, *(() if named else (DropResult.KEPT,))}
    if not done.issuperset(results.values()):
        raise SystemExit(_NOT_DROPPED)


async def _list(settings: Settings) -> list[MonthUsage]:
    from service.cli.progress import ProgressBar
    from service.wiring.months import open_months

    async with open_months(settings) as opened:
        with ProgressBar("months") as bar:
            return await opened.list_usage(bar)


async def _drop(
    settings: Settings, months: Sequence[int], *, dry_run: bool
) -> tuple[dict[int, DropResult], int]:
    from service.cli.progress import ProgressBar
    from service.wiring.months import open_months

    async with open_months(settings) as opened:
        results = await opened.drop(months, dry_run=dry_run)
        with ProgressBar("objects") as bar:
            return results, 0 if dry_run else await opened.sweep(bar)


def _table(usages: Sequence[MonthUsage]) -> str:
    from service.cli.tables import format_bytes, format_table

    cells = [
        (
            str(usage.month),
            f"{usage.status.value}, held" if usage.is_held else usage.status.value,
            str(usage.messages),
            str(usage.removed),
            format_bytes(usage.table_bytes),
            format_bytes(usage.audio_bytes),
        )
        for usage in usages
    ]
    return format_table([_HEADINGS, *cells])


def _drop_text(results: dict[int, DropResult], deleted: int) -> str:
    lines = [f"{month}  {result}" for month, result in results.items()]
    return "\n".join([*(lines or ["no month can be dropped"]), f"{deleted} objects deleted"])


COMMANDS = (months,)
