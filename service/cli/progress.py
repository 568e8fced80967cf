"""Progress bar and summary line for operations that are started from the command line."""

import sys
import time
from types import TracebackType
from typing import Any, Self

import click

from service.workers.progress import StepCounts, StepProgress


class ProgressBar(StepProgress):
    """Progress bar with the rate and the remaining time; a counter if the total is unknown.

    Silent without a terminal.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._stream = sys.stderr
        self._bar: Any = None
        self._count = 0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.render_finish()
        if self._bar is not None or self._count:
            self._write("\n")

    def set_total(self, total: int) -> None:
        if self._stream.isatty():
            self._bar = click.progressbar(
                length=total,
                label=self._label,
                file=self._stream,
                show_pos=True,
                item_show_func=lambda _: self._rate(),
            )
            self._bar.render_progress()

    def advance(self, count: int) -> None:
        self._count += count
        if self._bar is not None:
            self._bar.update(count, current_item=count)
        elif count:
            self._write(f"\r{self._label}: {self._count}  {self._rate()}")

    def _rate(self) -> str:
        """Returns the processed items per second since the start."""
        return f"{self._count / max(time.monotonic() - self._started, 0.001):.0f}/s"

    def _write(self, text: str) -> None:
        if self._stream.isatty():
            click.echo(text, file=self._stream, nl=False)


def summary_line(step: str, counts: StepCounts | None) -> str:
    """Returns one line with the counts of a step. None: another keeper was running the step."""
    if counts is None:
        return f"{step}: skipped, another keeper is running it"
    return f"{step}: " + ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in counts.items()
    )
