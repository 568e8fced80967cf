"""How far a step has come: heard by nobody in the service, shown to whoever runs one by hand."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import click

Done = Mapping[str, int]
"""What a step did: how many of what, by a name whose words are joined by `_`."""


class Progress:
    """Hears how far a step has come, and tells nobody."""

    def expect(self, total: int) -> None:
        """So much is to be looked at."""

    def advance(self, number: int) -> None:
        """So much more was done."""


class Bar(Progress):
    """A bar on a terminal, or a number that grows when the total is unknown; elsewhere nothing."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._stream = sys.stderr
        self._bar: Any = None
        self._number = 0

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
        if self._bar is not None or self._number:
            self._show("\n")

    def expect(self, total: int) -> None:
        if self._stream.isatty():
            self._bar = click.progressbar(length=total, label=self._step, file=self._stream)
            self._bar.render_progress()

    def advance(self, number: int) -> None:
        if self._bar is not None:
            self._bar.update(number)
        elif number:
            self._number += number
            self._show(f"\r{self._step}: {self._number}")

    def _show(self, text: str) -> None:
        if self._stream.isatty():
            click.echo(text, file=self._stream, nl=False)


def summary(step: str, done: Done | None) -> str:
    """One line on what a step did; None is a step that another keeper was at."""
    if done is None:
        return f"{step}: another keeper is at it"
    return f"{step}: " + ", ".join(
        f"{number} {what.replace('_', ' ')}" for what, number in done.items()
    )
