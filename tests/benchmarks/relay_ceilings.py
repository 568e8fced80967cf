"""Ceilings of the relays: what NATS and Postgres reach without each other."""

import asyncio
import itertools
import time
from uuid import uuid4

from service.domain.relay_shards import BUCKETS, buckets_of
from service.postgres import outbox
from service.postgres.outbox import MarkResult, SentRow
from service.postgres.pool import Database
from service.workers.relay.batch_reader import BatchReader
from service.workers.relay.box_queues import BoxQueues

_WINDOW = 256
_PAYLOAD = b"x" * 400
_HEADERS = (
    b"NATS/1.0\r\nNats-Msg-Id: %s\r\nce-id: %s\r\nce-type: voicemail.message.new\r\n"
    b"ce-source: /accounts/00000000000000000000000000000000"
    b"/vmboxes/00000000000000000000000000000000\r\n"
    b"ce-specversion: 1.0\r\nce-sequence: 00000000000000000001\r\n\r\n"
)


async def nats_rate(address: tuple[str, int], events: int, connections: int) -> float:
    """Events per second that the stream acknowledges over raw sockets, 256 in flight on each."""
    share = events // connections
    started = time.perf_counter()
    await asyncio.gather(*(_publish(address, share) for _ in range(connections)))
    return share * connections / (time.perf_counter() - started)


async def _publish(address: tuple[str, int], events: int) -> None:
    reader, writer = await asyncio.open_connection(*address)
    inbox = f"_INBOX.{uuid4().hex}".encode()
    writer.write(b'CONNECT {"verbose":false,"headers":true}\r\nSUB %s 1\r\n' % inbox)
    sent = acknowledged = 0
    while acknowledged < events:
        while sent < min(events, acknowledged + _WINDOW):
            writer.write(_message(inbox, uuid4().hex.encode()))
            sent += 1
        await writer.drain()
        acknowledged += (await reader.read(1 << 20)).count(b'"seq":')
    writer.close()


def _message(inbox: bytes, event_id: bytes) -> bytes:
    headers = _HEADERS % (event_id, event_id)
    subject = b"voicemail.v1.%s.%s.message.new" % (event_id, event_id)
    sizes = b"%d %d" % (len(headers), len(headers) + len(_PAYLOAD))
    return b"HPUB %s %s %s\r\n%s%s\r\n" % (subject, inbox, sizes, headers, _PAYLOAD)


async def postgres_rate(url: str, events: int, connections: int) -> float:
    """Events per second that are read and marked without a publication, in equal parts."""
    numbers = itertools.count(1)
    async with Database.open(url, size=connections, timeout_s=60, name="bench") as database:
        started = time.perf_counter()
        await asyncio.gather(
            *(
                _read_and_mark(database, buckets_of(part, connections), numbers)
                for part in range(connections)
            )
        )
        return events / (time.perf_counter() - started)


async def _read_and_mark(
    database: Database, buckets: list[int], numbers: "itertools.count[int]"
) -> None:
    reader = BatchReader(database, BoxQueues(), batch_rows=1000)
    async with database.connection() as connection:
        records = await connection.fetch("SELECT bucket, term FROM relay_buckets")
        terms = {record["bucket"]: record["term"] for record in records}
    assert len(terms) == BUCKETS
    while (batch := await reader.read(buckets)).rows:
        sent = [SentRow(row=row, stream_seq=next(numbers)) for row in batch.rows]
        marked = {row.bucket: terms[row.bucket] for row in batch.rows}
        async with database.connection() as connection:
            result = await outbox.mark_sent(connection, sent, marked, batch.stream_losses)
        assert result is MarkResult.MARKED
