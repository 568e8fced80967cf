"""Relay after losses: of its process, its leadership, the stream, or a part of the stream."""

import shutil
from pathlib import Path

import asyncpg
import pytest

from service.bus import StreamSettings
from service.domain.relay_shards import BUCKETS
from service.embedded.servers import EmbeddedServers
from service.postgres.pool import Database
from service.postgres.relay_shards import ShardLocks
from tests.support.relay import (
    Box,
    a_box,
    acquired,
    all_sent,
    append,
    everything_in,
    jetstream,
    running_relay,
)
from tests.support.waiting import wait_until

HOLD_THE_PLACE = "SELECT term FROM relay_state FOR UPDATE"


async def published(inspector: asyncpg.Connection) -> list[tuple[int, int]]:
    """Returns the published_seq of rows, by seq."""
    rows = await inspector.fetch("SELECT seq, published_seq FROM outbox ORDER BY seq")
    return [(row["seq"], row["published_seq"]) for row in rows]


async def in_stream(servers: EmbeddedServers, stream: StreamSettings, count: int) -> None:
    """Waits until the stream has `count` messages."""

    async def has_them() -> bool:
        return len(await everything_in(servers.nats.url(), stream)) >= count

    await wait_until(has_them)


async def some_boxes(inspector: asyncpg.Connection, events: int) -> list[Box]:
    boxes = [await a_box(inspector) for _ in range(3)]
    for box in boxes:
        await append(inspector, box, times=events)
    return boxes


async def test_a_relay_killed_between_publish_and_mark_leaves_no_duplicate_and_no_gap(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    url = servers.nats.url()
    async with running_relay(database_url, url, stream) as relay:
        boxes = await some_boxes(inspector, 1)
        await all_sent(inspector)
        holder = await asyncpg.connect(database_url)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(HOLD_THE_PLACE)
        # One batch: the relay reads no other one while it cannot mark this one.
        async with inspector.transaction():
            for box in boxes:
                await append(inspector, box, times=10)
        await in_stream(servers, stream, 33)
        await relay.kill()
        await transaction.rollback()
        await holder.close()
    assert await inspector.fetchval("SELECT count(*) FROM outbox WHERE published_seq IS NULL") == 30
    async with running_relay(database_url, url, stream):
        await all_sent(inspector)
    received = await everything_in(url, stream)
    assert len(received) == len({message.id for message in received}) == 33
    assert [number for _, number in await published(inspector)] == list(range(1, 34))


async def test_a_relay_that_lost_its_lock_marks_no_event(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    url = servers.nats.url()
    box = await a_box(inspector)
    async with running_relay(database_url, url, stream):
        await append(inspector, box)
        await all_sent(inspector)
        holder = await asyncpg.connect(database_url)
        async with holder.transaction():
            await holder.execute("UPDATE relay_buckets SET term = term + 1")
            async with inspector.transaction():
                await append(inspector, box, times=5)
            await in_stream(servers, stream, 6)
        await holder.close()
        # It gives up its shards; while another session has them, nothing is marked.
        async with ShardLocks.open(database_url, lease_s=5) as other:
            await acquired(other, range(BUCKETS))
            marked = "SELECT count(*) FROM outbox WHERE stream_seq IS NOT NULL"
            assert await inspector.fetchval(marked) == 1
        await all_sent(inspector)
    assert [number for _, number in await published(inspector)] == list(range(1, 7))
    assert len(await everything_in(url, stream)) == 6


async def test_a_deleted_stream_is_created_again_with_all_events_and_their_numbers(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    url = servers.nats.url()
    async with running_relay(database_url, url, stream):
        boxes = await some_boxes(inspector, 10)
        await all_sent(inspector)
        before = await published(inspector)
        ids = [message.id for message in await everything_in(url, stream)]
        async with jetstream(url) as js:
            await js.delete_stream(stream.name)
        await append(inspector, boxes[0])
        await in_stream(servers, stream, 31)
        await all_sent(inspector)
    after = await everything_in(url, stream)
    assert {message.id for message in after} > set(ids)
    assert len(after) == 31
    per_box = [message.sequence for message in after if message.vmbox_id == boxes[0].vmbox_id.hex]
    assert per_box == list(range(1, 12))
    assert (await published(inspector))[:30] == before


@pytest.mark.long
async def test_a_stream_created_by_another_process_gets_all_events_again(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    """No publication fails: only the low sequence of the ack reveals the loss."""
    url = servers.nats.url()
    async with running_relay(database_url, url, stream, check_stream_every_s=3600):
        boxes = await some_boxes(inspector, 10)
        await all_sent(inspector)
        before = await published(inspector)
        async with jetstream(url) as js:
            config = (await js.stream_info(stream.name)).config
            await js.delete_stream(stream.name)
            await js.add_stream(config)
        await append(inspector, boxes[0])
        await in_stream(servers, stream, 31)
        await all_sent(inspector)
    received = await everything_in(url, stream)
    assert len(received) == len({message.id for message in received}) == 31
    assert (await published(inspector))[:30] == before


async def throw_back(servers: EmbeddedServers, folder: Path, before: Path) -> None:
    await servers.nats.stop()
    shutil.rmtree(folder)
    shutil.copytree(before, folder)
    await servers.nats.start()


@pytest.mark.long
async def test_a_stream_restored_from_an_old_copy_gets_the_lost_events(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
    tmp_path: Path,
) -> None:
    """Simulates a power failure: the same stream without its last acknowledged messages."""
    url = servers.nats.url()
    folder = servers.nats.data / "store/jetstream/$G/streams" / stream.name
    async with running_relay(database_url, url, stream):
        boxes = await some_boxes(inspector, 5)
        await all_sent(inspector)
        await servers.nats.stop()
        shutil.copytree(folder, tmp_path / "before")
        await servers.nats.start()
        for box in boxes:
            await append(inspector, box, times=10)
        await all_sent(inspector)
        numbers = await published(inspector)
        await throw_back(servers, folder, tmp_path / "before")
        await append(inspector, boxes[0])
        await in_stream(servers, stream, 46)
        await all_sent(inspector)
    received = await everything_in(url, stream)
    assert len(received) == len({message.id for message in received}) == 46
    for box in boxes:
        of_box = [m.sequence for m in received if m.vmbox_id == box.vmbox_id.hex]
        assert of_box == sorted(of_box)
    assert (await published(inspector))[:45] == numbers


async def test_an_idle_relay_detects_a_lost_stream(
    servers: EmbeddedServers,
    database_url: str,
    inspector: asyncpg.Connection,
    stream: StreamSettings,
) -> None:
    url = servers.nats.url()
    async with running_relay(database_url, url, stream, check_stream_every_s=0.3):
        await some_boxes(inspector, 2)
        await all_sent(inspector)
        async with jetstream(url) as js:
            await js.delete_stream(stream.name)
        await in_stream(servers, stream, 6)


@pytest.mark.long
async def test_a_restart_of_postgres_loses_and_repeats_no_event(
    servers: EmbeddedServers, database_url: str, stream: StreamSettings
) -> None:
    url = servers.nats.url()
    async with (
        Database.open(database_url, size=2, timeout_s=30, name="writer") as database,
        running_relay(database_url, url, stream),
    ):
        async with database.connection() as connection:
            box = await a_box(connection)
            await append(connection, box, times=20)
        await servers.postgres.kill()
        await servers.postgres.start()
        async with database.connection() as connection:
            await append(connection, box, times=20)
        await in_stream(servers, stream, 40)
        async with database.connection() as connection:
            await all_sent(connection)
    received = await everything_in(url, stream)
    assert [message.sequence for message in received] == list(range(1, 41))
