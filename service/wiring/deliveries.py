"""Deliveries as an operator sees them: the use cases, answered in text."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service.domain.delivery import Status
from service.postgres.deliveries import DeliveryRow, Selection
from service.settings import Settings
from service.usecases.deliveries import Deliveries
from service.wiring.factories import open_database

_HEADINGS = ("CREATED", "ACCOUNT", "EVENT", "CHANNEL", "TARGET", "STATUS", "TRIED", "NEXT", "ERROR")
_LONGEST_ERROR = 60


def selection(
    *,
    account_id: UUID | None = None,
    event_id: UUID | None = None,
    channel: str | None = None,
    target: str | None = None,
    status: str | None = None,
) -> Selection:
    """What the command line asks for."""
    return Selection(
        account_id=account_id,
        event_id=event_id,
        channel=channel,
        target=target,
        status=Status(status) if status else None,
    )


async def list_deliveries(
    settings: Settings, asked: Selection, limit: int, *, as_json: bool
) -> str:
    """Newest first, a line each."""
    async with open_database(settings, "aftertone cli", size=1) as database:
        rows = await Deliveries(database).find(asked, limit)
    if as_json:
        return _json(rows)
    return _table([_HEADINGS, *map(_cells, rows)]) if rows else "no deliveries"


async def show_deliveries(settings: Settings, asked: Selection, *, as_json: bool) -> str:
    """Everything that is known of an event's deliveries."""
    async with open_database(settings, "aftertone cli", size=1) as database:
        rows = await Deliveries(database).show(asked)
    if as_json:
        return _json(rows)
    return "\n\n".join(map(_sheet, rows)) if rows else "no deliveries"


async def retry_deliveries(settings: Settings, asked: Selection) -> str:
    async with open_database(settings, "aftertone cli", size=1) as database:
        return f"{await Deliveries(database).retry(asked)} deliveries are due again"


async def drop_deliveries(settings: Settings, asked: Selection) -> str:
    async with open_database(settings, "aftertone cli", size=1) as database:
        return f"{await Deliveries(database).drop(asked)} deliveries are dropped"


def _cells(row: DeliveryRow) -> tuple[str, ...]:
    error = " ".join((row.last_error or "").split())
    return (
        _time(row.created_at),
        row.account_id.hex,
        str(row.event_id),
        row.channel,
        row.target or "(the event)",
        _state(row),
        str(row.attempt),
        _time(row.next_at) if row.finished_at is None else "",
        error if len(error) <= _LONGEST_ERROR else f"{error[: _LONGEST_ERROR - 1]}…",
    )


def _state(row: DeliveryRow) -> str:
    return "in hand" if row.lease_until is not None else row.status


def _table(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _sheet(row: DeliveryRow) -> str:
    facts = _builtins(row)
    event = facts.pop("event")
    lines = [f"{name:<12} {value}" for name, value in facts.items() if value not in (None, "", {})]
    if event is not None:
        text = msgspec.json.format(msgspec.json.encode(event), indent=2).decode()
        lines.append(f"event\n{text}")
    return "\n".join(lines)


def _json(rows: Sequence[DeliveryRow]) -> str:
    return msgspec.json.format(msgspec.json.encode(list(map(_builtins, rows))), indent=2).decode()


def _builtins(row: DeliveryRow) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(row)
    return {**fields, "account_id": row.account_id.hex}


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
