"""Chart of the results: latency against load, one panel for each measurement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Result
from tests.benchmarks.report import Comparison, mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_COLUMNS = 3
_PANEL_INCHES = (5.0, 3.6)


def write_chart(comparisons: Sequence[Comparison], path: Path) -> None:
    """Writes a PNG. The measurement is the thick line; its ceilings are thin."""
    names = list(dict.fromkeys(comparison.subject[0].name for comparison in comparisons))
    columns = min(len(names), _MAX_COLUMNS)
    rows = -(-len(names) // columns)
    from matplotlib.figure import Figure  # takes a second

    figure = Figure(figsize=(columns * _PANEL_INCHES[0], rows * _PANEL_INCHES[1]))
    for position, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows, columns, position)
        _draw_panel(axes, name, [each for each in comparisons if each.subject[0].name == name])
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _draw_panel(axes: Axes, name: str, comparisons: Sequence[Comparison]) -> None:
    _draw_line(axes, [mean_of(each.subject) for each in comparisons], width=2.5)
    for column in zip(*(each.ceilings for each in comparisons), strict=True):
        _draw_line(axes, [mean_of(ceiling) for ceiling in column], width=1.0)
    axes.set_title(name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("requests per second")
    axes.set_ylabel("latency, ms: p50, and p99 dotted")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="x-small")


def _draw_line(axes: Axes, results: Sequence[Result], *, width: float) -> None:
    """Draws one point for each number of clients, which is written beside it."""
    rates = [result.rate for result in results]
    medians = [result.p50_ms for result in results]
    (line,) = axes.plot(rates, medians, marker="o", linewidth=width, label=results[0].name)
    slowest = [result.p99_ms for result in results]
    axes.plot(rates, slowest, linestyle=":", linewidth=width, color=line.get_color())
    for result, rate, median in zip(results, rates, medians, strict=True):
        axes.annotate(str(result.clients), (rate, median), fontsize="x-small")
