"""Commands about settings."""

from __future__ import annotations

import os

import click

from service.cli.running import run, settings_of
from service.settings import select_settings


@click.group()
def settings() -> None:
    """List and check the settings."""


@settings.command("reference")
def print_reference() -> None:
    """Print all settings as Markdown: variable, accepted values, default and description."""
    from service.settings import reference

    click.echo(reference(), nl=False)


@settings.command("check")
def check_settings() -> None:
    """Connect to every server that the settings name, and report the result of each check.

    The exit code is 1 if a check fails. The checks delete the objects and streams that they create
    and change nothing else. No secret is printed.
    """
    from service.wiring.checks import CheckState, run_checks

    results = run(run_checks(settings_of("check"), select_settings(os.environ)))
    width = max(len(result.variable) for result in results)
    for result in results:
        click.echo(f"{result.state:7}  {result.variable:{width}}  {result.text}")
    if any(result.state is CheckState.FAILED for result in results):
        raise SystemExit(1)


COMMANDS = (settings,)
