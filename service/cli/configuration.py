"""Commands about the settings."""

from __future__ import annotations

import click


@click.group()
def settings() -> None:
    """The AFTERTONE_* variables: what there is, and whether what is set works."""


@settings.command("reference")
def print_reference() -> None:
    """Print what can be set: variable, value, default and meaning, as Markdown."""
    from service.settings import reference

    click.echo(reference(), nl=False)


COMMANDS = (settings,)
