"""Commands about the key ring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from service.cli.running import run, settings_of
from service.settings import Settings

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def keys() -> None:
    """Create, rotate and retire keys.

    The key ring signs tokens and encrypts PINs, API keys and webhook secrets.
    """


@keys.command("generate")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def generate_keys(file: Path) -> None:
    """Write a new key ring to FILE (mode 0600). An existing file is never overwritten."""
    from service.wiring.keys import write_key_ring

    try:
        write_key_ring(file)
    except FileExistsError:
        raise click.ClickException(f"{file} already exists; choose another file.") from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None
    click.echo(f"wrote {file}")


@keys.command("list")
@click.argument("file", type=_EXISTING)
def list_keys(file: Path) -> None:
    """List the keys of FILE, oldest first: use, id, and `active` for those that are in use."""
    from service.security import KeyRingError
    from service.wiring.keys import list_keys

    try:
        for use, key_id, is_active in list_keys(file):
            click.echo(f"{use:10}  {key_id}{'  active' if is_active else ''}")
    except KeyRingError as error:
        raise click.ClickException(str(error)) from None


@keys.command("rotate")
@click.argument("file", type=_EXISTING)
@click.option(
    "--prepare", "stage", flag_value="prepare", help="Add new keys, but keep using the old ones."
)
@click.option("--activate", "stage", flag_value="activate", help="Use the newest keys of FILE.")
def rotate_keys(file: Path, stage: str | None) -> None:
    """Add a new signing key and a new encryption key to FILE and use them. Old keys are kept.

    Processes read FILE when they start. If they restart one after the other, do this in two steps,
    so that every process has a key before another one uses it: run with --prepare, restart all
    processes, run with --activate, restart all processes again.
    """
    from service.wiring.keys import rotate_keys

    add, activate = stage != "activate", stage != "prepare"
    _change_file(file, lambda: rotate_keys(file, add=add, activate=activate))
    click.echo(f"wrote {file}; restart the processes to use it")


@keys.command("export")
@click.argument("file", type=_EXISTING)
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
def export_keys(file: Path, output: Path) -> None:
    """Write the encryption keys of FILE to OUTPUT, the key ring of notifiers.

    It has no signing keys, so a notifier cannot issue tokens. Repeat this when FILE has changed.
    """
    from service.wiring.keys import export_keys

    _change_file(output, lambda: export_keys(file, output))
    click.echo(f"wrote {output}")


@keys.command("retire")
@click.argument("key_id", metavar="KEY")
def retire_key(key_id: str) -> None:
    """Remove KEY from the file in AFTERTONE_KEY_RING_FILE.

    Tokens that a signing key has signed become invalid when the processes restart. An active key
    is refused, and an encryption key that is still needed: run `aftertone keys reseal` first. The
    audit of the root account records the change.
    """
    from service.wiring.keys import retire

    settings = settings_of("cli")
    file = Path(settings.key_ring_file)
    _change_file(file, lambda: run(retire(settings, key_id)))
    click.echo(f"wrote {file}; restart the processes to use it")


@keys.command("reseal")
def reseal() -> None:
    """Encrypt all stored PINs, API keys and webhook secrets with the active key.

    Run it when all processes use the new key. It can be stopped at any time and run again.
    """
    resealed, unreadable = run(_reseal(settings_of("cli")))
    click.echo(f"encrypted {resealed} secrets with the active key")
    if unreadable:
        raise click.ClickException(
            f"{unreadable} secrets cannot be decrypted; restore their keys in the key ring. "
            "The log names their rows."
        )


async def _reseal(settings: Settings) -> tuple[int, int]:
    from service.cli.progress import ProgressBar
    from service.wiring.keys import open_sealed_secrets

    async with open_sealed_secrets(settings) as sealed:
        with ProgressBar("reseal") as bar:
            bar.set_total(await sealed.count_to_reseal())
            counts = await sealed.reseal(bar.advance)
    return counts.resealed, counts.unreadable


def _change_file(file: Path, change: Callable[[], None]) -> None:
    """Runs a change of a key ring; an error becomes a message."""
    from service.security import KeyRingError

    try:
        change()
    except KeyRingError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(
            f"{file} cannot be written: {error.strerror}. It is unchanged."
        ) from None


COMMANDS = (keys,)
