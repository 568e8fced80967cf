"""Backlogs: a box never delays another, and published rows cost nothing."""

from datetime import timedelta

import asyncpg
import msgspec
import pytest

from service.bus import StreamSettings
from service.domain.relay_shards import BUCKETS
from service.embedded.servers import EmbeddedServers
from service.postgres.sql import load
from tests.support.relay import Box, a_box, all_sent, append, everything_in, fill, running_relay
from tests.support.waiting import wait_until

MARK_ALL = """
UPDATE outbox SET published_at = now(), published_seq = seq, stream_seq = seq
WHERE stream_seq IS NULL
"""


# The levels of the indexes of three days, for each bucket.
FEW_BUFFERS = 8 * BUCKETS


async def sent_of(inspector: asyncpg.Connection, box: Box) -> int:
    count: int = await inspector.fetchval(
        "SELECT count(*) FROM outbox WHERE vmbox_id = $1 AND stream_seq IS NOT NULL", box.vmbox_id
    )
    return count


async def test_a_rejected_event_stops_only_its_box(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    stuck, other = await a_box(inspector), await a_box(inspector)
    async with running_relay(database_url, servers.nats.url(), stream):
        await append(inspector, stuck)
        await append(inspector, stuck, size=1_100_000)
        await append(inspector, stuck, times=5)
        await append(inspector, other, times=200)

        async def others_are_sent() -> bool:
            return await sent_of(inspector, other) == 200

        await wait_until(others_are_sent)
        assert await sent_of(inspector, stuck) == 1
        # Its cause removed, the box goes on in order.
        await inspector.execute(
            "UPDATE outbox SET data = jsonb_set(data, '{vmbox,name}', '\"x\"') WHERE sequence = 2"
        )
        await all_sent(inspector)
    received = await everything_in(servers.nats.url(), stream)
    of_stuck = [message for message in received if message.vmbox_id == stuck.vmbox_id.hex]
    assert [message.sequence for message in of_stuck] == list(range(1, 8))


@pytest.mark.long
async def test_a_long_backlog_of_one_box_does_not_delay_another(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    hot, other = await a_box(inspector), await a_box(inspector)
    await fill(inspector, hot, 3000)
    await append(inspector, other)
    async with running_relay(database_url, servers.nats.url(), stream):
        await all_sent(inspector)
    received = await everything_in(servers.nats.url(), stream)
    position = [message.vmbox_id for message in received].index(other.vmbox_id.hex)
    assert position <= 64
    of_hot = [message.sequence for message in received if message.vmbox_id == hot.vmbox_id.hex]
    assert of_hot == list(range(1, 3001))


async def buffers_read(inspector: asyncpg.Connection, *, after: int) -> int:
    """Returns the number of buffers that reading a page touches."""
    today = await inspector.fetchval("SELECT current_date")
    text, *values = load("outbox")["read_unsent"].bind(
        buckets=list(range(BUCKETS)),
        after=after,
        first_day=today - timedelta(days=1),
        last_day=today + timedelta(days=1),
        excluded_account_ids=[],
        excluded_vmbox_ids=[],
        limit=1000,
        max_per_bucket=64,
        max_per_vmbox=64,
        limit_bytes=8_388_608,
    )
    explained = await inspector.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", *values)
    plan = msgspec.json.decode(explained)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.long
async def test_reading_unsent_rows_does_not_read_published_ones(
    inspector: asyncpg.Connection,
) -> None:
    box = await a_box(inspector)
    await fill(inspector, box, 100_000)
    await inspector.execute(MARK_ALL)
    last = await inspector.fetchval("SELECT max(seq) FROM outbox")
    for _ in range(5):
        await append(inspector, await a_box(inspector))
    # Nothing was vacuumed or analyzed yet: the horizon alone keeps the poll short.
    assert await buffers_read(inspector, after=last) < FEW_BUFFERS
    await inspector.execute("VACUUM ANALYZE outbox")
    assert await buffers_read(inspector, after=0) < FEW_BUFFERS


async def test_reading_a_page_of_a_long_backlog_reads_that_page(
    inspector: asyncpg.Connection,
) -> None:
    """The planner must choose the index of the buckets, with and without statistics."""
    box = await a_box(inspector)
    await fill(inspector, box, 100_000)
    assert await buffers_read(inspector, after=0) < FEW_BUFFERS
    # All rows are in one bucket, so the statistics say that a condition on it excludes no row.
    await inspector.execute("ANALYZE outbox")
    assert await buffers_read(inspector, after=0) < FEW_BUFFERS
