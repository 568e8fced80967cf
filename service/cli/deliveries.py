"""Runs the use cases of deliveries and formats their results as text or JSON.

Filters are the fields of `DeliveryFilter`; a filter that is None selects all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.cli.tables import format_table
from service.postgres.deliveries import DeliveryFilter, DeliveryRow
from service.settings import Settings
from service.usecases.deliveries import Deliveries
from service.wiring.factories import open_database

_HEADINGS = ("CREATED", "ACCOUNT", "EVENT", "CHANNEL", "TARGET", "STATUS", "TRIED", "NEXT", "ERROR")
_MAX_ERROR_LENGTH = 60
_NONE = "no deliveries"

Filters = Mapping[str, Any]


async def list_deliveries(
    settings: Settings, filters: Filters, limit: int, *, as_json: bool
) -> str:
    """Returns a table of deliveries, newest first."""
    async with open_database(settings, "aftertone cli", size=1) as database:
        rows = await Deliveries(database).find(_selection(filters), limit)
    if as_json:
        return _json(rows)
    return format_table([_HEADINGS, *map(_cells, rows)]) if rows else _NONE


async def show_deliveries(settings: Settings, filters: Filters, *, as_json: bool) -> str:
    """Returns all fields of the deliveries of an event, and the event."""
    async with open_database(settings, "aftertone cli", size=1) as database:
        rows = await Deliveries(database).show(_selection(filters))
    if as_json:
        return _json(rows)
    return "\n\n".join(map(_details, rows)) if rows else _NONE


async def retry_deliveries(settings: Settings, filters: Filters) -> str:
    async with open_database(settings, "aftertone cli", size=1) as database:
        return f"{await Deliveries(database).retry(_selection(filters))} deliveries will be retried"


async def drop_deliveries(settings: Settings, filters: Filters) -> str:
    async with open_database(settings, "aftertone cli", size=1) as database:
        return f"{await Deliveries(database).drop(_selection(filters))} deliveries dropped"


def _selection(filters: Filters) -> DeliveryFilter:
    return msgspec.convert(filters, DeliveryFilter)


def _cells(row: DeliveryRow) -> tuple[str, ...]:
    error = " ".join((row.last_error or "").split())
    if len(error) > _MAX_ERROR_LENGTH:
        error = f"{error[: _MAX_ERROR_LENGTH - 1]}…"
    return (
        _utc(row.created_at),
        row.account_id.hex,
        str(row.event_id),
        row.channel,
        row.target or "(the event)",
        "in progress" if row.lease_until is not None else row.status,
        str(row.attempt),
        _utc(row.next_at) if row.finished_at is None else "",
        error,
    )


def _details(row: DeliveryRow) -> str:
    fields = _fields(row)
    event = fields.pop("event")
    lines = [f"{name:<12} {value}" for name, value in fields.items() if value not in (None, "", {})]
    if event is not None:
        text = msgspec.json.format(msgspec.json.encode(event), indent=2).decode()
        lines.append(f"event\n{text}")
    return "\n".join(lines)


def _json(rows: Sequence[DeliveryRow]) -> str:
    return msgspec.json.format(msgspec.json.encode(list(map(_fields, rows))), indent=2).decode()


def _fields(row: DeliveryRow) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(row)
    return {**fields, "account_id": row.account_id.hex}


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
