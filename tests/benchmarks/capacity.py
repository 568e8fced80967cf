"""Capacity model: `python -m tests.benchmarks.capacity` prints the tables of `deploy/SCALING.md`.

The costs of an operation come from a run of the bench (`capacity.json`). The use of a subscriber
and the sizes of machines are assumptions, named below. The busy hour is simulated second by second.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import msgspec
import numpy as np

from tests.benchmarks.report import table_lines

COSTS = Path(__file__).with_name("capacity.json")
_PROCESSES = {"api": "API", "postgres": "Postgres", "weed": "S3", "relay": "relay", "nats": "NATS"}

# Share of a day's messages in its busiest hour, which is simulated as this many seconds.
_BUSY_HOUR_SHARE = 0.17
_BUSY_HOUR_S = 3600
# Cores are sized for the 99th percentile of the seconds, at this utilization.
_PERCENTILE = 99
_UTILIZATION = 0.7
_SEED = 19

_AUDIO_BYTES = 64_000
_RETENTION_DAYS = 93
_OUTBOX_DAYS = 7
_AUDIT_DAYS = 400
# Postgres keeps free space in tables and indexes, and WAL.
_DATABASE_OVERHEAD = 1.3

# Largest primary that the model uses, and the largest database that is restored in a night.
_PRIMARY_CORES = 32
_PRIMARY_BYTES = 4e12
# Two pools of the default size, and the connection of the health check.
_API_POOL_CONNECTIONS = 2 * 16 + 1


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """CPU milliseconds by operation and process, and bytes of a row by table, of one run."""

    measured: str
    cpu_ms: dict[str, dict[str, float]]
    row_bytes: dict[str, float]


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber does in a day. The operations are those of the bench, for each message."""

    name: str
    messages: float
    operations: dict[str, float]


# A folder change for `saved` and one for `deleted`; those who only read mails do less.
USES = (
    Use(
        name="light",
        messages=0.2,
        operations={"store": 1, "list": 1, "get": 0.5, "folder": 1, "raw": 0.5},
    ),
    Use(
        name="usual",
        messages=1,
        operations={"store": 1, "list": 3, "get": 1, "folder": 2, "raw": 1},
    ),
    Use(
        name="heavy",
        messages=5,
        operations={"store": 1, "list": 6, "get": 2, "folder": 2, "raw": 1.5},
    ),
)
# Operations that write an event, and those that the audit records.
_EVENTS = ("store", "folder")
_AUDITED = ("store", "folder", "raw")


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of subscribers needs in the busy hour and on disk."""

    rates: dict[str, float]
    events: float
    cores: dict[str, float]
    stored_messages: float
    database_bytes: float
    audio_bytes: float


def read_costs(path: Path = COSTS) -> Costs:
    """Reads the costs of `capacity.json`."""
    return msgspec.json.decode(path.read_bytes(), type=Costs)


def costs_of(results: bytes) -> Costs:
    """Returns the costs of `results.json`, from its measurements with the most clients."""
    document = msgspec.json.decode(results)
    cpu: dict[str, dict[str, float]] = {}
    for comparison in sorted(document["comparisons"], key=lambda one: one["subject"][0]["clients"]):
        rounds = [result["cpu_ms"] for result in comparison["subject"] if result.get("cpu_ms")]
        if rounds:
            name = comparison["subject"][0]["name"]
            cpu[name] = {
                process: round(sum(each.get(process, 0) for each in rounds) / len(rounds), 2)
                for process in _PROCESSES
            }
    rows = {name: round(size) for name, size in document["row_bytes"].items()}
    return Costs(f"{document['started_at'][:10]}, {document['machine']}", cpu, rows)


def demand_of(costs: Costs, use: Use, subscribers: int) -> Demand:
    """Simulates a busy hour: operations arrive at random, each takes its time of each process."""
    messages = subscribers * use.messages
    mean = messages * _BUSY_HOUR_SHARE / _BUSY_HOUR_S
    rates = {name: mean * times for name, times in use.operations.items()}
    random = np.random.default_rng(_SEED)
    arrivals = {name: random.poisson(rate, _BUSY_HOUR_S) for name, rate in rates.items()}
    cores = {
        process: float(
            np.percentile(
                sum(count * costs.cpu_ms[name][process] for name, count in arrivals.items()),
                _PERCENTILE,
            )
        )
        / 1000
        / _UTILIZATION
        for process in _PROCESSES
    }
    stored = messages * _RETENTION_DAYS
    return Demand(
        rates=rates,
        events=sum(rates[name] for name in _EVENTS),
        cores=cores,
        stored_messages=stored,
        database_bytes=_database_bytes(costs, use, messages),
        audio_bytes=stored * _AUDIO_BYTES,
    )


def _database_bytes(costs: Costs, use: Use, messages: float) -> float:
    rows = {
        "messages": messages * _RETENTION_DAYS,
        "outbox": messages * _OUTBOX_DAYS * sum(use.operations[name] for name in _EVENTS),
        "audit": messages * _AUDIT_DAYS * sum(use.operations[name] for name in _AUDITED),
    }
    return _DATABASE_OVERHEAD * sum(count * costs.row_bytes[name] for name, count in rows.items())


def largest_cell(costs: Costs, use: Use) -> tuple[int, str]:
    """Returns the number of subscribers that one primary serves, and what limits it."""
    million = demand_of(costs, use, 1_000_000)
    by_cpu = 1e6 * _PRIMARY_CORES / million.cores["postgres"]
    by_disk = 1e6 * _PRIMARY_BYTES / million.database_bytes
    limit = "CPU" if by_cpu < by_disk else "size of the database"
    return int(min(by_cpu, by_disk) // 10_000 * 10_000), limit


def cost_table(costs: Costs) -> list[str]:
    """Table of the CPU time of each operation."""
    head = ("operation", *(f"{name}, ms" for name in _PROCESSES.values()))
    rows = [
        (name, *(f"{costs.cpu_ms[name][process]:.2f}" for process in _PROCESSES))
        for name in USES[0].operations
    ]
    return table_lines(head, rows)


def demand_table(costs: Costs) -> list[str]:
    """Table of the demand of a number of subscribers by kind of use."""
    head = (
        *("use", "subscribers", "messages per day", "stores/s", "requests/s", "events/s"),
        *(f"{name} cores" for name in _PROCESSES.values()),
        *("database GB", "audio GB"),
    )
    rows = [
        _demand_row(use, subscribers, demand_of(costs, use, subscribers))
        for use in USES
        for subscribers in (1_000, 100_000, 1_000_000)
    ]
    return table_lines(head, rows)


def _demand_row(use: Use, subscribers: int, demand: Demand) -> tuple[str, ...]:
    return (
        use.name,
        _grouped(subscribers),
        _grouped(subscribers * use.messages),
        _short(demand.rates["store"]),
        _short(sum(demand.rates.values())),
        _short(demand.events),
        *(_short(demand.cores[process]) for process in _PROCESSES),
        _short(demand.database_bytes / 1e9),
        _short(demand.audio_bytes / 1e9),
    )


def limit_table(costs: Costs) -> list[str]:
    """Table of the largest cell by kind of use."""
    head = ("use", "subscribers", "limit", "stores/s", "events/s", "API processes", "connections")
    rows = []
    for use in USES:
        subscribers, limit = largest_cell(costs, use)
        demand = demand_of(costs, use, subscribers)
        processes = math.ceil(demand.cores["api"])
        rows.append(
            (
                *(use.name, _grouped(subscribers), limit),
                f"{demand.rates['store']:.0f}",
                f"{demand.events:.0f}",
                str(processes),
                _grouped(processes * _API_POOL_CONNECTIONS),
            )
        )
    return table_lines(head, rows)


def cells_table(costs: Costs, messages: float) -> list[str]:
    """Table of the cells that hold this number of stored messages."""
    head = (
        *("use", "subscribers", "cells", "API cores", "primaries of 32 cores", "standbys"),
        *("S3 cores", "relay cores", "NATS nodes", "database TB", "audio TB"),
    )
    rows = []
    for use in USES:
        subscribers = int(messages / _RETENTION_DAYS / use.messages)
        cells = math.ceil(subscribers / largest_cell(costs, use)[0])
        demand = demand_of(costs, use, math.ceil(subscribers / cells))
        rows.append(
            (
                *(use.name, _grouped(subscribers), str(cells)),
                *(_cores(cells, demand, "api"), str(cells), str(2 * cells)),
                *(_cores(cells, demand, "weed"), _cores(cells, demand, "relay"), str(3 * cells)),
                f"{cells * demand.database_bytes / 1e12:.1f}",
                f"{cells * demand.audio_bytes / 1e12:.0f}",
            )
        )
    return table_lines(head, rows)


def _cores(cells: int, demand: Demand, process: str) -> str:
    return str(cells * math.ceil(demand.cores[process]))


def tables_of(costs: Costs) -> Mapping[str, list[str]]:
    """Returns all tables by the marker of `deploy/SCALING.md` that they follow."""
    return {
        "costs": cost_table(costs),
        "demand": demand_table(costs),
        "limits": limit_table(costs),
        "cells": cells_table(costs, 1e9),
    }


def insert_tables(page: str, tables: Mapping[str, Iterable[str]]) -> str:
    """Returns the page with each table between its two markers."""
    for name, lines in tables.items():
        start, end = f"<!-- capacity: {name} -->\n", "<!-- end -->"
        before, found, rest = page.partition(start)
        if not found:
            raise click.ClickException(f"the page has no marker '{start.strip()}'")
        table = "\n".join(lines)
        page = f"{before}{start}{table}\n{rest[rest.index(end) :]}"
    return page


def _short(number: float) -> str:
    """Returns two significant digits, or all digits of a large number."""
    return _grouped(number) if number >= 100 else f"{float(f'{number:.2g}'):g}"


def _grouped(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--results",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="results.json of a bench; replaces the costs of the model.",
)
@click.option(
    "--write",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Page whose tables are replaced, such as deploy/SCALING.md.",
)
def main(results: Path | None, write: Path | None) -> None:
    """Print the tables of deploy/SCALING.md, from the costs of a bench."""
    if results is not None:
        costs = costs_of(results.read_bytes())
        COSTS.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=2) + b"\n")
    tables = tables_of(read_costs())
    if write is not None:
        write.write_text(insert_tables(write.read_text(), tables))
    for lines in tables.values():
        click.echo("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(prog_name="python -m tests.benchmarks.capacity")
