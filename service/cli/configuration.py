"""Commands about the settings."""

from __future__ import annotations

import os

import click

from service.cli.running import run, settings_of
from service.settings import select_settings


@click.group()
def settings() -> None:
    """The AFTERTONE_* variables: what there is, and whether what is set works."""


@settings.command("reference")
def print_reference() -> None:
    """Print what can be set: variable, value, default and meaning, as Markdown."""
    from service.settings import reference

    click.echo(reference(), nl=False)


@settings.command("check")
def check_settings() -> None:
    """Try everything that is set, and say of each whether it works.

    Exit code 1 when something does not. Objects and streams made for trying are gone afterwards;
    nothing else is changed. Secrets are not shown.
    """
    from service.wiring.checks import State, check

    found = run(check(settings_of("check"), select_settings(os.environ)))
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        click.echo(f"{finding.state:7}  {finding.subject:{width}}  {finding.text}")
    if any(finding.state is State.WRONG for finding in found):
        raise SystemExit(1)


COMMANDS = (settings,)
