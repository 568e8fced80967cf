"""`python -m tests.benchmarks`: the bench on a stack of its own; the only reader of its argv."""

import asyncio
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from service.embedded.errors import EmbeddedError
from tests.benchmarks.chart import write_chart
from tests.benchmarks.dovecot import NOT_INSTALLED
from tests.benchmarks.growth import BASE_MESSAGES, Growth, changes_of
from tests.benchmarks.measure import BenchFailed, Result
from tests.benchmarks.pgbench import PgbenchFailed
from tests.benchmarks.plan import Bench, Measure, Subject
from tests.benchmarks.report import Comparison, as_json, as_text, results_of
from tests.benchmarks.row_sizes import read_row_sizes
from tests.benchmarks.stack import running_stack
from tests.benchmarks.subjects import SUBJECTS, without_dovecot


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--seconds", default=3.0, help="Length of each measurement.")
@click.option(
    "--rounds",
    default=3,
    type=click.IntRange(1),
    help="How often each part is measured; its ceilings once more.",
)
@click.option("--clients", multiple=True, type=int, default=(1, 16), help="May be repeated.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([subject.name for subject in SUBJECTS]),
    help="This measurement with its ceilings; may be repeated.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".aftertone/bench"),
    help="Folder for results.json, results.md and chart.png.",
)
@click.option(
    "--messages",
    type=click.IntRange(BASE_MESSAGES),
    help=f"Also measure with this number of messages, and compare with {BASE_MESSAGES} of them.",
)
@click.option("--months", default=36, type=click.IntRange(1, 120), help="Months of --messages.")
def main(
    seconds: float,
    rounds: int,
    clients: tuple[int, ...],
    only: tuple[str, ...],
    output: Path,
    messages: int | None,
    months: int,
) -> None:
    """Measure the service and, in turns with each part of it, the ceilings it stands under.

    Brings its own Postgres, NATS and S3 server in a temporary folder. Ctrl-C ends it cleanly.
    """
    subjects = [subject for subject in SUBJECTS if not only or subject.name in only]
    started_at = datetime.now(UTC)
    sizes: list[Growth | None] = [None]
    if messages is not None:
        sizes = [Growth(BASE_MESSAGES, months), Growth(messages, months)]
    try:
        runs = [asyncio.run(_run(subjects, clients, seconds, rounds, growth)) for growth in sizes]
    except (BenchFailed, PgbenchFailed, EmbeddedError) as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        raise click.Abort from None
    comparisons, row_bytes = runs[-1]
    growth = list(changes_of(runs[0][0], comparisons)) if messages is not None else []
    results = results_of(started_at, seconds, rounds, comparisons, growth, row_bytes)
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_bytes(as_json(results))
    (output / "results.md").write_text(as_text(results) + "\n")
    write_chart(results.comparisons, output / "chart.png")
    click.echo(f"\n{as_text(results)}\n\nwritten to {output}")


async def _run(
    subjects: Sequence[Subject],
    clients: Sequence[int],
    seconds: float,
    rounds: int,
    growth: Growth | None,
) -> tuple[list[Comparison], dict[str, float]]:
    began = time.monotonic()
    whole = asyncio.current_task()
    assert whole is not None
    # As Ctrl-C: the servers stop and their folder goes.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, whole.cancel)
    click.echo("starting Postgres, NATS, S3, the API, the relay; storing messages to read")
    if growth is not None:
        click.echo(f"with {growth.messages} messages over {growth.months} months")
    async with running_stack(seconds, max(clients), growth) as stack:
        click.echo(f"ready after {time.monotonic() - began:.0f} s")
        if stack.dovecot is None:
            click.echo(NOT_INSTALLED)
            subjects = [without_dovecot(subject) for subject in subjects]
        bench = Bench(stack=stack, seconds=seconds)
        comparisons = [
            await _compared(bench, subject, count, rounds)
            for subject in subjects
            for count in ((1,) if subject.paced else clients)
        ]
        return comparisons, await read_row_sizes(stack)


async def _compared(bench: Bench, subject: Subject, clients: int, rounds: int) -> Comparison:
    """Measures both in turns, so that a slower machine affects both."""
    own: list[Result] = []
    ceilings = [[await _measured(bench, ceiling, clients)] for ceiling in subject.ceilings]
    lag = 0
    for _ in range(rounds):
        own.append(await _measured(bench, subject.measure, clients))
        lag = max(lag, await bench.stack.settle())
        for ceiling, record in zip(subject.ceilings, ceilings, strict=True):
            record.append(await _measured(bench, ceiling, clients))
    return Comparison(subject=own, ceilings=ceilings, lag=lag)


async def _measured(bench: Bench, measure: Measure, clients: int) -> Result:
    """Measures when no earlier work is left, and prints the progress."""
    await bench.stack.settle()
    result = await measure(bench, clients)
    click.echo(
        f"{result.name:<18} {clients:>3} clients {result.rate:9.0f} /s"
        f"   p50 {result.p50_ms:7.2f} ms   p99 {result.p99_ms:7.2f} ms"
    )
    return result


if __name__ == "__main__":
    main(prog_name="python -m tests.benchmarks")
