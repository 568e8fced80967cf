"""The results as a table and as JSON: rates, latencies, CPU, and the ratios to the ceilings."""

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from statistics import fmean, median

import msgspec

from tests.benchmarks.cpu import Seconds
from tests.benchmarks.measure import Result

# Columns of text.
_LEFT = ("measurement", "ceiling", "table", "operation", "use", "limit")
_PROCESSES = ("api", "relay", "postgres", "weed", "nats", "dovecot", "load")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A subject, and each of its ceilings, as measured in turns; ceilings come first and last.

    `lag` is the most events that waited for the relay when the subject ended.
    """

    subject: list[Result]
    ceilings: list[list[Result]] = []
    lag: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio with 10 000 messages and with more of them, in one run each."""

    name: str
    clients: int
    ceiling: str
    base: float
    grown: float

    @property
    def factor(self) -> float:
        return self.grown / self.base


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the bench."""

    started_at: datetime
    seconds: float
    rounds: int
    machine: str
    load_average: float
    comparisons: list[Comparison]
    growth: list[Change] = []
    row_bytes: dict[str, float] = {}


def results_of(
    started_at: datetime,
    seconds: float,
    rounds: int,
    comparisons: list[Comparison],
    growth: list[Change],
    row_bytes: dict[str, float],
) -> Results:
    machine = f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
    return Results(
        started_at=started_at.astimezone(UTC),
        seconds=seconds,
        rounds=rounds,
        machine=machine + f"Python {platform.python_version()}",
        load_average=os.getloadavg()[0],
        comparisons=comparisons,
        growth=growth,
        row_bytes=row_bytes,
    )


def as_json(results: Results) -> bytes:
    """Everything that was measured, with the ratios."""
    document = msgspec.to_builtins(results)
    for comparison, plain in zip(results.comparisons, document["comparisons"], strict=True):
        plain["ratios"] = {
            name: {"ratio": ratio, "lowest": lowest, "highest": highest}
            for name, ratio, lowest, highest in ratios_of(comparison)
        }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def growth_as_text(changes: Iterable[Change]) -> str:
    """A table in Markdown: each ratio with few and with many messages."""
    head = ("measurement", "clients", "ceiling", "with 10 000", "with all", "change")
    rows = [
        (
            change.name,
            str(change.clients),
            change.ceiling,
            f"{change.base:.3g}",
            f"{change.grown:.3g}",
            f"{(change.factor - 1) * 100:+.0f} %",
        )
        for change in changes
    ]
    return "\n".join(table_lines(head, rows))


def as_text(results: Results) -> str:
    """Returns two tables in Markdown: the measurements, and their ratios to the ceilings."""
    conditions = (
        f"{results.started_at:%Y-%m-%d %H:%M} UTC, {results.machine}, {results.rounds} rounds "
        f"of {results.seconds:g} s, load average {results.load_average:.1f} at the end"
    )
    tables = [*_measurements(results.comparisons), "", *_ceilings(results.comparisons)]
    if results.growth:
        tables += ["", growth_as_text(results.growth)]
    if results.row_bytes:
        rows = [(name, f"{size:.0f}") for name, size in results.row_bytes.items()]
        tables += ["", *table_lines(("table", "bytes of a row with its indexes"), rows)]
    return "\n".join((conditions, "", *tables))


def _measurements(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield from table_lines(
        ("measurement", "clients", "req/s", "p50 ms", "p99 ms", *_PROCESSES), _rows(comparisons)
    )


def _rows(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, ...]]:
    for comparison in comparisons:
        for measured in (*comparison.ceilings, comparison.subject):
            yield _row(mean_of(measured))


def _row(result: Result) -> tuple[str, ...]:
    cpu = result.cpu_ms or {}
    # Events are sent at a pace: how many says nothing.
    rate = f"{result.rate:.0f}" if result.name != "events" else ""
    return (
        result.name,
        str(result.clients),
        rate,
        f"{result.p50_ms:.2f}",
        f"{result.p99_ms:.2f}",
        *(f"{cpu[name]:.2f}" if cpu.get(name, 0) >= 0.005 else "" for name in _PROCESSES),
    )


def mean_of(measured: Sequence[Result]) -> Result:
    return msgspec.structs.replace(
        measured[0],
        rate=fmean(measurement.rate for measurement in measured),
        p50_ms=fmean(measurement.p50_ms for measurement in measured),
        p99_ms=fmean(measurement.p99_ms for measurement in measured),
        cpu_ms=_mean_cpu(
            [measurement.cpu_ms for measurement in measured if measurement.cpu_ms is not None]
        ),
    )


def _mean_cpu(measured: Sequence[Seconds]) -> Seconds | None:
    if not measured:
        return None
    names = {name for measurement in measured for name in measurement}
    return {name: fmean(measurement.get(name, 0.0) for measurement in measured) for name in names}


def _ceilings(comparisons: Sequence[Comparison]) -> Iterator[str]:
    rows = [
        (
            comparison.subject[0].name,
            str(comparison.subject[0].clients),
            name,
            f"{ratio:.2f}",
            f"{lowest:.2f}",
            f"{highest:.2f}",
            str(comparison.lag),
        )
        for comparison in comparisons
        for name, ratio, lowest, highest in ratios_of(comparison)
    ]
    head = ("measurement", "clients", "ceiling", "ratio", "lowest", "highest", "relay lag")
    yield from table_lines(head, rows)


def ratios_of(comparison: Comparison) -> Iterator[tuple[str, float, float, float]]:
    """Each ceiling with the subject's share of it: the median of the rounds, and their bounds.

    A round is held against the ceiling's measurements right before and right after it.
    """
    for ceiling in comparison.ceilings:
        ratios = [
            own.rate / fmean((before.rate, after.rate))
            for own, before, after in zip(
                comparison.subject, ceiling[:-1], ceiling[1:], strict=True
            )
        ]
        yield ceiling[0].name, median(ratios), min(ratios), max(ratios)


def table_lines(head: Sequence[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Returns a table in Markdown. Columns of figures are aligned at the right."""
    lines = [tuple(head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    right = [column for column, name in enumerate(head) if name not in _LEFT]
    rule = [
        ("-" * (width - 1) + ":") if n in right else "-" * width for n, width in enumerate(widths)
    ]

    def written(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    return [written(lines[0]), written(rule), *map(written, lines[1:])]
