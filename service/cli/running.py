"""How a command runs: its settings, its end, and one sentence for what can be expected to fail."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click
import uvloop

from service.domain.errors import Invalid, VoicemailError
from service.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from service.wiring.accounts import AdminCommands

Result = TypeVar("Result")


def ask(question: Callable[[AdminCommands], Awaitable[str]]) -> None:
    """Prints what the operator's desk answers."""
    from service.wiring.accounts import open_admin

    async def work(settings: Settings) -> str:
        async with open_admin(settings) as desk:
            return await question(desk)

    click.echo(run(work(settings_of("cli"))))


def settings_of(process: str) -> Settings:
    from service import wiring

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    wiring.configure_logs(settings, process)
    return settings


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs to the end; what can be expected to go wrong ends in one sentence and exit code 1."""
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
        if isinstance(error, Invalid):
            detail = ", ".join(f"{problem.field}: {problem.rule}" for problem in error.problems)
        raise click.ClickException(f"{error}{f' ({detail})' if detail else ''}") from None
    except asyncio.CancelledError:
        raise SystemExit(130) from None
