"""Manual republication: refusals within the duplicate window, unchanged numbers."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from service.bus import StreamSettings
from service.embedded.servers import EmbeddedServers
from service.postgres.pool import Database
from service.workers.relay import RepublicationRefused, republish_since
from tests.support.relay import (
    a_box,
    a_stream,
    all_sent,
    append,
    everything_in,
    jetstream,
    running_relay,
)
from tests.support.waiting import wait_until


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def publish_long_ago(inspector: asyncpg.Connection, seconds: float) -> None:
    await inspector.execute(
        "UPDATE outbox SET published_at = published_at - make_interval(secs => $1)", seconds
    )


async def duplicate_window_passed(url: str, stream: StreamSettings) -> None:
    """Waits until the current messages are outside the duplicate window."""
    subject, headers = f"{stream.subject_prefix}.probe.x.y.z", {"Nats-Msg-Id": "probe"}
    async with jetstream(url) as js:

        async def is_forgotten() -> bool:
            return not (await js.publish(subject, b"", headers=headers)).duplicate

        await is_forgotten()
        await wait_until(is_forgotten, every_s=0.1)
        await js.purge_stream(stream.name, subject=subject)


async def test_republished_events_keep_their_numbers(
    servers: EmbeddedServers,
    database_url: str,
    database: Database,
    inspector: asyncpg.Connection,
) -> None:
    stream = a_stream(duplicate_window_s=0.5)
    url = servers.nats.url()
    box = await a_box(inspector)
    async with running_relay(database_url, url, stream):
        await append(inspector, box, times=4)
        await all_sent(inspector)
    await publish_long_ago(inspector, 3600)
    before = await inspector.fetch("SELECT seq, published_seq FROM outbox ORDER BY seq")
    await duplicate_window_passed(url, stream)
    assert (await republish_since(database, ago(7200), duplicate_window_s=1)).events == 4
    async with running_relay(database_url, url, stream):
        await all_sent(inspector)
    received = await everything_in(url, stream)
    assert [message.sequence for message in received] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert [message.id for message in received[:4]] == [message.id for message in received[4:]]
    assert before == await inspector.fetch("SELECT seq, published_seq FROM outbox ORDER BY seq")


async def test_events_within_the_duplicate_window_are_not_republished(
    database: Database, inspector: asyncpg.Connection
) -> None:
    box = await a_box(inspector)
    await append(inspector, box, times=3)
    await inspector.execute(
        "UPDATE outbox SET published_at = now(), published_seq = seq, stream_seq = seq"
    )
    await inspector.execute(
        "UPDATE outbox SET published_at = now() - interval '1 hour' WHERE sequence < 3"
    )
    done = await republish_since(database, ago(7200), duplicate_window_s=600)
    assert done.events == 2
    assert done.until < ago(590)


async def test_a_span_inside_the_duplicate_window_is_refused(database: Database) -> None:
    with pytest.raises(RepublicationRefused, match="duplicates; retry after"):
        await republish_since(database, ago(300), duplicate_window_s=600)


async def test_a_second_republication_is_refused_until_the_first_is_outside_the_window(
    database: Database, inspector: asyncpg.Connection
) -> None:
    box = await a_box(inspector)
    await append(inspector, box)
    await inspector.execute(
        """UPDATE outbox
        SET published_at = now() - interval '1 hour', published_seq = 1, stream_seq = 1"""
    )
    await republish_since(database, ago(7200), duplicate_window_s=600)
    with pytest.raises(RepublicationRefused, match="in progress"):
        await republish_since(database, ago(7200), duplicate_window_s=600)
    await inspector.execute("UPDATE outbox SET stream_seq = 2")
    await inspector.execute("UPDATE relay_state SET republished_at = now()")
    with pytest.raises(RepublicationRefused, match="republished recently"):
        await republish_since(database, ago(7200), duplicate_window_s=600)
