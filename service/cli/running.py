"""Runs commands: reads settings, maps errors to messages, and generates parts of the help."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click
import uvloop

from service.domain.errors import DeletionHeld, Invalid, VoicemailError
from service.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from service.cli.account_commands import AccountCommands

Result = TypeVar("Result")


class CommandWithList(click.Command):
    """Command whose help ends with a list that is read from the code when the help is printed."""

    def __init__(
        self,
        *args: Any,
        title: str,
        entries: Callable[[], Iterable[tuple[str, str]]],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._title, self._entries = title, entries

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(self._title):
            formatter.write_dl(list(self._entries()))
        super().format_epilog(ctx, formatter)


def run_account_command(command: Callable[[AccountCommands], Awaitable[str]]) -> None:
    """Runs an account command and prints its result."""
    from service.cli.account_commands import open_account_commands

    async def work(settings: Settings) -> str:
        async with open_account_commands(settings) as commands:
            return await command(commands)

    if text := run(work(settings_of("cli"))):
        click.echo(text)


def settings_of(process: str) -> Settings:
    """Reads the settings of a process and configures its logs. Raises ClickException."""
    from service.logs import configure

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    configure(process, settings.log_level, settings.log_format)
    return settings


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs a coroutine; an expected error becomes a message and exit code 1."""
    from service.admin import CannotListen
    from service.embedded.errors import EmbeddedError
    from service.postgres.migrate import MigrationError
    from service.security import KeyRingError
    from service.wiring.accounts import NotSetUp
    from service.workers.relay import RepublicationRefused

    try:
        return uvloop.run(work)
    except (
        CannotListen,
        EmbeddedError,
        MigrationError,
        KeyRingError,
        NotSetUp,
        RepublicationRefused,
        SettingsError,
    ) as error:
        raise click.ClickException(str(error)) from None
    except VoicemailError as error:
        detail = getattr(error, "reason", "")
        if isinstance(error, DeletionHeld):
            detail = ", ".join(error.holds.values())
        if isinstance(error, Invalid):
            detail = ", ".join(f"{problem.field}: {problem.rule}" for problem in error.problems)
        raise click.ClickException(f"{error}{f' ({detail})' if detail else ''}") from None
    except asyncio.CancelledError:
        raise SystemExit(130) from None
