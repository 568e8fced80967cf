"""The results as a table and as JSON: rates, latencies, CPU, and the ratios to the ceilings."""

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from statistics import fmean

import msgspec

from tests.benchmarks.cpu import Seconds
from tests.benchmarks.measure import Result

_PROCESSES = ("api", "relay", "postgres", "weed", "nats", "load")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A subject, and each of its ceilings as measured before and after it.

    `lag` is the number of events that waited for the relay when the subject ended.
    """

    subject: Result
    ceilings: list[tuple[Result, Result]] = []
    lag: int = 0


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the bench."""

    started_at: datetime
    seconds: float
    machine: str
    load_average: float
    comparisons: list[Comparison]


def results_of(started_at: datetime, seconds: float, comparisons: list[Comparison]) -> Results:
    machine = f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
    return Results(
        started_at=started_at.astimezone(UTC),
        seconds=seconds,
        machine=machine + f"Python {platform.python_version()}",
        load_average=os.getloadavg()[0],
        comparisons=comparisons,
    )


def as_json(results: Results) -> bytes:
    """Everything that was measured, with the ratios."""
    document = msgspec.to_builtins(results)
    for comparison, plain in zip(results.comparisons, document["comparisons"], strict=True):
        plain["ratios"] = {
            before.name: {"ratio": ratio, "drift": drift}
            for before, ratio, drift in _ratios(comparison)
        }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def as_text(results: Results) -> str:
    """Two tables in Markdown: the measurements, and what they make of their ceilings."""
    conditions = (
        f"{results.started_at:%Y-%m-%d %H:%M} UTC, {results.machine}, {results.seconds:g} s for "
        f"each measurement, load average {results.load_average:.1f} at the end"
    )
    tables = (*_measurements(results.comparisons), "", *_ceilings(results.comparisons))
    return "\n".join((conditions, "", *tables))


def _measurements(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield from _table(
        ("measurement", "clients", "req/s", "p50 ms", "p99 ms", *_PROCESSES), _rows(comparisons)
    )


def _rows(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, ...]]:
    for comparison in comparisons:
        for pair in comparison.ceilings:
            yield _row(_mean(*pair))
        yield _row(comparison.subject)


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


def _mean(before: Result, after: Result) -> Result:
    return msgspec.structs.replace(
        before,
        rate=fmean((before.rate, after.rate)),
        p50_ms=fmean((before.p50_ms, after.p50_ms)),
        p99_ms=fmean((before.p99_ms, after.p99_ms)),
        cpu_ms=_mean_cpu(before.cpu_ms, after.cpu_ms),
    )


def _mean_cpu(before: Seconds | None, after: Seconds | None) -> Seconds | None:
    if before is None or after is None:
        return None
    names = before.keys() | after.keys()
    return {name: fmean((before.get(name, 0.0), after.get(name, 0.0))) for name in names}


def _ceilings(comparisons: Sequence[Comparison]) -> Iterator[str]:
    rows = [
        (
            comparison.subject.name,
            str(comparison.subject.clients),
            before.name,
            f"{ratio:.2f}",
            f"{drift:+.0%}",
            str(comparison.lag),
        )
        for comparison in comparisons
        for before, ratio, drift in _ratios(comparison)
    ]
    yield from _table(("measurement", "clients", "ceiling", "ratio", "drift", "relay lag"), rows)


def _ratios(comparison: Comparison) -> Iterator[tuple[Result, float, float]]:
    """Each ceiling with the subject's share of it, and how it changed meanwhile."""
    for before, after in comparison.ceilings:
        mean = fmean((before.rate, after.rate))
        yield before, comparison.subject.rate / mean, after.rate / before.rate - 1


def _table(head: Sequence[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [tuple(head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    right = [column for column, name in enumerate(head) if name not in ("measurement", "ceiling")]
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
