"""`python -m tests.attacks`: runs the attacks one after the other and prints a Markdown table."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import click

from service.embedded.servers import EmbeddedServers
from tests.attacks.harness import MEMORY_LIMIT_MB, Attack, Report
from tests.support.log_scan import folder_with_logs
from tests.support.running import RunningService

ATTACKS: list[Attack] = [
    import_module(f"tests.attacks.{path.stem}").ATTACK
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
]
_HEAD = (
    "| attack | sent | responses to the attacker | other tenant: succeeded | p99 s | slowest s "
    "| memory of the API, MB |"
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--tree",
    envvar="ATTACKS_TREE",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Checkout whose .venv/bin/aftertone is attacked; by default this one.",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Setting of the API.")
@click.option("--quick", is_flag=True, help="The small sizes.")
@click.option(
    "--only", multiple=True, type=click.Choice([attack.name for attack in ATTACKS]), default=()
)
def main(tree: Path | None, settings: Sequence[str], quick: bool, only: Sequence[str]) -> None:
    """Attack an API process of its own over embedded servers.

    The servers and their tables are of this checkout; `--tree` changes the API process only. An
    empty value of `--set` leaves a setting out that the other checkout does not have.
    """
    chosen = [attack for attack in ATTACKS if not only or attack.name in only]
    pairs = dict(setting.split("=", 1) for setting in settings)
    asyncio.run(_run(chosen, tree, pairs, quick))


async def _run(
    attacks: Sequence[Attack], tree: Path | None, settings: dict[str, str], quick: bool
) -> None:
    click.echo(f"{_HEAD}\n|---|---|---|--:|--:|--:|--:|")
    async with _prepared_service() as service:
        for attack in attacks:
            size = attack.quick if quick else attack.long
            try:
                text = row(attack, size, await attack.measure(service, size, tree, **settings))
            except Exception as error:
                # The other attacks are measured all the same.
                text = f"| {attack.name} | {attack.sent_at(size)} | failed: {error!r} |"
            click.echo(text)
    click.echo(f"\nThe chart limits the memory of an API process to {MEMORY_LIMIT_MB} MB.")


@asynccontextmanager
async def _prepared_service() -> AsyncIterator[RunningService]:
    """Servers, tables, the root account and a relay; the attacks start the API processes."""
    with folder_with_logs("aftertone-attacks-") as folder:
        async with EmbeddedServers(folder) as servers:
            service = RunningService(servers, folder / "service")
            await service.prepare()
            await service.start("relay")
            yield service
            await service.stop()


def row(attack: Attack, size: int, report: Report) -> str:
    """A row of the table. Times and memory are rounded."""
    outcomes = ", ".join(f"{name}: {count}" for name, count in sorted(report.outcomes.items()))
    cells = [
        attack.name,
        attack.sent_at(size),
        outcomes,
        _with_targets(report, _successes),
        _with_targets(report, lambda part: f"{part.wait_s(0.99):.2f}"),
        _with_targets(report, lambda part: f"{part.wait_s():.2f}"),
        f"{report.idle_mb} -> {report.peak_mb}",
    ]
    return f"| {' | '.join(cells)} |"


def _successes(report: Report) -> str:
    total = len(report.samples)
    return f"{total - len(report.problems)} of {total}"


def _with_targets(report: Report, figure: Callable[[Report], str]) -> str:
    """A figure of all requests, and that of each request that the attack is aimed at."""
    parts = {name: report.select(name) for name in report.targets}
    figures = [f"{name}: {figure(part) if part.samples else '-'}" for name, part in parts.items()]
    return "; ".join([figure(report) if report.samples else "-", *figures])


if __name__ == "__main__":
    main()
