"""Moves an account for the command line."""

from enum import StrEnum
from pathlib import Path
from typing import assert_never
from uuid import UUID

import click

from service.audio.s3_session import AccessKey
from service.cli.progress import ProgressBar
from service.domain.message import parse_hex_id
from service.settings import Settings, SettingsError, read_settings
from service.transfer.move.mover import AccountMover
from service.transfer.move.reversal import AccountReversal
from service.transfer.move.sides import MoveProgress, Sides
from service.wiring.account_moves import open_sides


class MoveChoice(StrEnum):
    """Choice of the command."""

    MOVE = "move"
    CONFIRM = "confirm"
    REVERSE = "reverse"


class MoveConsole(ProgressBar, MoveProgress):
    """Prints the steps of a move, with a progress bar for each pass over the tables."""

    def begin(self, step: str) -> None:
        click.echo(step, err=True)


async def move(
    source: Settings,
    file: Path,
    account: str,
    url: str,
    below: str | None,
    wait_s: float,
    choice: MoveChoice,
) -> str:
    """Moves an account, or ends its move. Returns the text to print. Raises ClickException."""
    account_id, parent_id = _id_of(account), _id_of(below) if below else None
    target, access_key = _read_target(file)
    with MoveConsole("Tables") as console:
        async with open_sides(source, target, access_key, url, wait_s, console) as sides:
            match choice:
                case MoveChoice.MOVE:
                    return await _move(sides, account_id, parent_id)
                case MoveChoice.CONFIRM:
                    count = await AccountMover(sides).confirm(account_id)
                    return f"confirmed: rows of {count} accounts deleted"
                case MoveChoice.REVERSE:
                    count = await AccountReversal(sides).reverse(account_id)
                    return f"reversed: {count} accounts are served here"
    assert_never(choice)


async def _move(sides: Sides, account_id: UUID, below: UUID | None) -> str:
    result = await AccountMover(sides).move(account_id, below)
    missing = "".join(f"\nmissing in the bucket: {key}" for key in result.missing_audio)
    return f"moved {result.accounts} accounts to {sides.url}{missing}"


def _read_target(file: Path) -> tuple[Settings, AccessKey | None]:
    lines = (line.strip() for line in file.read_text().splitlines())
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    values = {name: value.strip("'\"") for name, _, value in pairs}
    key_id, secret = (values.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    try:
        target = read_settings(values)
    except SettingsError as error:
        raise click.ClickException(f"{file}: {error}") from None
    return target, AccessKey(key_id, secret) if key_id and secret else None


def _id_of(text: str) -> UUID:
    parsed = parse_hex_id(text)
    if parsed is None:
        raise click.UsageError(f"{text} is not an account id (32 hexadecimal digits).")
    return parsed
