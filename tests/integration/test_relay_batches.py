"""Batches of large events: bounded memory, and every event is published."""

import asyncpg
import pytest

from service.bus import StreamSettings
from service.domain.relay_shards import BUCKETS
from service.embedded.servers import EmbeddedServers
from service.postgres.outbox import OutboxRow
from service.postgres.pool import Database
from service.workers.relay.batch_reader import BatchReader
from service.workers.relay.box_queues import BoxQueues
from tests.support.relay import Box, a_box, all_sent, everything_in, fill, running_relay, sequences

LARGE = 100_000
MOST_BYTES = 8 * 1024**2


def size_of(rows: list[OutboxRow]) -> int:
    return sum(len(row.event.data) for row in rows)


async def read_batch(database: Database, batch_rows: int = 1000) -> list[OutboxRow]:
    return (await BatchReader(database, BoxQueues(), batch_rows).read(range(BUCKETS))).rows


async def test_a_batch_of_large_events_contains_the_first_unsent_rows(
    database: Database, inspector: asyncpg.Connection
) -> None:
    for _ in range(3):
        await fill(inspector, await a_box(inspector), 40, LARGE)
    rows = await read_batch(database)
    assert MOST_BYTES <= size_of(rows) < MOST_BYTES + 2 * LARGE
    seqs = await inspector.fetch("SELECT seq FROM outbox ORDER BY seq LIMIT $1", len(rows))
    assert [row.seq for row in rows] == [row["seq"] for row in seqs]


async def test_the_reads_of_a_batch_share_its_byte_limit(
    database: Database, inspector: asyncpg.Connection
) -> None:
    hot, other = await a_box(inspector), await a_box(inspector)
    await fill(inspector, hot, 100, LARGE)
    await fill(inspector, other, 100, LARGE)
    # The first page has rows of one box only, more than its share.
    rows = await read_batch(database, batch_rows=100)
    assert {row.event.vmbox_id for row in rows} == {hot.vmbox_id, other.vmbox_id}
    assert MOST_BYTES <= size_of(rows) < MOST_BYTES + 2 * LARGE


async def test_a_box_with_many_events_delays_no_other_box_of_its_bucket(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async def bucket_of(box: Box) -> int:
        bucket: int = await inspector.fetchval(
            "SELECT relay_bucket($1, $2)", box.account_id, box.vmbox_id
        )
        return bucket

    hot = await a_box(inspector)
    while await bucket_of(other := await a_box(inspector)) != await bucket_of(hot):
        pass
    await fill(inspector, hot, 200)
    await fill(inspector, other, 1)
    rows = await read_batch(database)
    assert {row.event.vmbox_id for row in rows} == {hot.vmbox_id, other.vmbox_id}


async def test_an_event_above_the_byte_limit_of_a_batch_is_read(
    database: Database, inspector: asyncpg.Connection
) -> None:
    box = await a_box(inspector)
    await fill(inspector, box, 2, MOST_BYTES + 1)
    assert [row.event.sequence for row in await read_batch(database)] == [1]


@pytest.mark.long
async def test_a_backlog_of_large_events_is_published_completely(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    boxes = [await a_box(inspector) for _ in range(3)]
    for box in boxes:
        await fill(inspector, box, 100, LARGE)
    async with running_relay(database_url, servers.nats.url(), stream):
        await all_sent(inspector)
    received = sequences(await everything_in(servers.nats.url(), stream))
    assert received == {box.vmbox_id.hex: list(range(1, 101)) for box in boxes}
