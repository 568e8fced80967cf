"""Relays with several shards and processes: `python -m tests.benchmarks.relay`.

Each row publishes a backlog of events that is committed at once, then measures the latency of
single events at a fixed rate. The ceilings are what NATS and Postgres reach without each other.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import click
import msgspec
import nats
from nats.aio.msg import Msg

from service.embedded.child import Child, Command
from service.embedded.servers import EmbeddedServers
from service.postgres.migrate import migrate
from tests.benchmarks.cpu import cpu_of
from tests.benchmarks.measure import percentile
from tests.benchmarks.relay_ceilings import nats_rate, postgres_rate
from tests.benchmarks.report import table_lines
from tests.support.relay import Box, a_box, append
from tests.support.waiting import wait_until

COMBINATIONS = [(1, 1), (2, 1), (4, 1), (2, 2), (4, 2), (4, 3), (4, 4)]
_BOXES = 400
_EVENT_BYTES = 300
_PATIENCE_S = 300
# The events of all boxes in turns, as calls arrive.
_FILL = """
WITH box AS (UPDATE vmbox_counts SET sequence = $1 RETURNING account_id, vmbox_id)
INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data)
SELECT account_id, vmbox_id, n, 1, 'vmbox.updated',
    jsonb_build_object('vmbox_id', hex(vmbox_id), 'sequence', n, 'padding', repeat('x', $2))
FROM generate_series(1, $1::integer) AS n CROSS JOIN box
ORDER BY n
"""
_OWNERS = """
SELECT count(*) AS buckets, count(DISTINCT pid) AS relays FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted
"""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one combination. CPU is in milliseconds for each event."""

    shards: int
    processes: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: Mapping[str, float]


class RelayBench:
    """Servers, and relays in processes of their own."""

    def __init__(self, servers: EmbeddedServers, folder: Path, events: int) -> None:
        self.servers = servers
        self.events = events
        self._folder = folder
        self._boxes: list[Box] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.servers.postgres.url())
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def relays(self, shards: int, processes: int) -> AsyncIterator[dict[str, int]]:
        """Runs relays that have divided the shards. Yields the roots of the process trees."""
        environment = {
            **self.servers.environment(),
            "AFTERTONE_RELAY_SHARDS": str(shards),
            "AFTERTONE_ADMIN_PORT": "0",
        }
        async with AsyncExitStack() as stack:
            children = []
            for number in range(processes):
                command = Command(
                    argv=[sys.executable, "-m", "service", "relay"],
                    environment=environment,
                    log=self._folder / f"relay-{number}.log",
                )
                children.append(Child(f"relay-{number}", command))
                await children[-1].start()
                stack.push_async_callback(children[-1].stop)
            await self._wait_until_divided(min(shards, processes))
            trees = {child.name: child.pid for child in children}
            yield {
                **trees,
                "postgres": self.servers.postgres.pid,
                "nats": self.servers.nats.pid,
            }

    async def _wait_until_divided(self, relays: int) -> None:
        async with self.connection() as connection:

            async def is_divided() -> bool:
                row = await connection.fetchrow(_OWNERS)
                return bool(row and (row["buckets"], row["relays"]) == (64, relays))

            await wait_until(is_divided, _PATIENCE_S)

    async def fill(self, connection: asyncpg.Connection) -> None:
        """Writes the backlog in one transaction: equal numbers of events in 400 new boxes."""
        await connection.execute("TRUNCATE outbox, vmbox_counts")
        async with connection.transaction():
            self._boxes = [await a_box(connection) for _ in range(_BOXES)]
            await connection.execute(_FILL, self.events // _BOXES, _EVENT_BYTES)

    async def drain(self, connection: asyncpg.Connection) -> float:
        """Returns the seconds from now until all events are marked."""
        started = time.perf_counter()

        async def is_drained() -> bool:
            waiting = "SELECT EXISTS (SELECT FROM outbox WHERE stream_seq IS NULL)"
            return not await connection.fetchval(waiting)

        await wait_until(is_drained, _PATIENCE_S, every_s=0.05)
        return time.perf_counter() - started

    async def latencies(
        self, connection: asyncpg.Connection, seconds: float, rate: int
    ) -> list[float]:
        """Milliseconds from the commit of an event until a subscriber has it, in order."""
        received: dict[tuple[str, int], float] = {}
        committed: dict[tuple[str, int], float] = {}

        async def receive(message: Msg) -> None:
            headers = message.headers or {}
            box = headers["ce-source"].rpartition("/")[2]
            received[box, int(headers["ce-sequence"])] = time.perf_counter()

        client = await nats.connect(self.servers.nats.url())
        try:
            await client.subscribe("voicemail.v1.>", cb=receive)
            next_at = time.perf_counter()
            sequence = self.events // _BOXES
            for turn in range(int(seconds * rate)):
                box = self._boxes[turn % _BOXES]
                sequence += turn % _BOXES == 0
                await append(connection, box, size=_EVENT_BYTES)
                committed[box.vmbox_id.hex, sequence] = time.perf_counter()
                next_at += 1 / rate
                await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
            await wait_until(lambda: received.keys() >= committed.keys(), _PATIENCE_S)
        finally:
            await client.close()
        return sorted((received[key] - moment) * 1000 for key, moment in committed.items())

    async def measure(self, shards: int, processes: int, seconds: float, rate: int) -> Row:
        async with self.relays(shards, processes) as trees, self.connection() as connection:
            await self.fill(connection)
            before = cpu_of(trees) or {}
            drained_s = await self.drain(connection)
            after = cpu_of(trees) or {}
            latencies = await self.latencies(connection, seconds, rate)
        cpu_ms: dict[str, float] = {}
        for name, value in after.items():
            label = name.partition("-")[0]
            cpu_ms[label] = cpu_ms.get(label, 0) + (value - before[name]) * 1000 / self.events
        return Row(
            shards=shards,
            processes=processes,
            rate=self.events / drained_s,
            p50_ms=percentile(latencies, 50),
            p99_ms=percentile(latencies, 99),
            cpu_ms=cpu_ms,
        )

    async def ceilings(self, connections: int) -> tuple[float, float]:
        """Rates of NATS and of Postgres, each without the other."""
        address = urlsplit(self.servers.nats.url())
        assert address.hostname is not None
        assert address.port is not None
        by_nats = await nats_rate((address.hostname, address.port), self.events, connections)
        async with self.connection() as connection:
            await self.fill(connection)
        url = self.servers.postgres.url("aftertone", "aftertone")
        return by_nats, await postgres_rate(url, self.events, connections)


def _lines(rows: Sequence[Row], ceilings: Mapping[int, tuple[float, float]]) -> list[str]:
    head = ["shards", "processes", "events/s", "p50 ms", "p99 ms", "relay", "postgres", "nats"]
    cells = [
        (
            str(row.shards),
            str(row.processes),
            f"{row.rate:.0f}",
            f"{row.p50_ms:.1f}",
            f"{row.p99_ms:.1f}",
            *(f"{row.cpu_ms.get(name, 0):.3f}" for name in ("relay", "postgres", "nats")),
        )
        for row in rows
    ]
    alone = [
        (str(number), f"{by_nats:.0f}", f"{by_postgres:.0f}")
        for number, (by_nats, by_postgres) in ceilings.items()
    ]
    return [
        *table_lines(head, cells),
        "",
        *table_lines(["connections", "NATS alone /s", "Postgres alone /s"], alone),
    ]


async def _run(events: int, seconds: float, rate: int) -> None:
    with tempfile.TemporaryDirectory(prefix="aftertone-relays-") as name:
        folder = Path(name)
        async with EmbeddedServers(folder / "servers") as servers:
            await migrate(
                servers.postgres.url(),
                service_url=servers.postgres.url("aftertone", "aftertone"),
                oldest_month=202001,
            )
            bench = RelayBench(servers, folder, events)
            rows = []
            for shards, processes in COMBINATIONS:
                rows.append(await bench.measure(shards, processes, seconds, rate))
                click.echo(f"{shards} shards, {processes} processes: {rows[-1].rate:.0f} events/s")
            ceilings = {number: await bench.ceilings(number) for number in (1, 4)}
    click.echo("\n".join(_lines(rows, ceilings)))


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--events", default=20_000, help="Events of each backlog.")
@click.option("--seconds", default=5.0, help="Length of each measurement of the latency.")
@click.option("--rate", default=200, help="Events per second while the latency is measured.")
def main(events: int, seconds: float, rate: int) -> None:
    """Measure the relays on servers of their own in a temporary folder."""
    asyncio.run(_run(events, seconds, rate))


if __name__ == "__main__":
    main(prog_name="python -m tests.benchmarks.relay")
