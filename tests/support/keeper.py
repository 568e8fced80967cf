"""Keeper harness: connections of the owner, a bucket, and steps that are killed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from service.audio.keys import message_key
from service.audio.s3_session import BucketSettings
from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.message import month_of
from service.embedded.servers import EmbeddedServers
from service.postgres.messages import MessageKey
from service.postgres.pool import Database
from service.workers.keeper import StepProgress
from tests.support.builders import NOW
from tests.support.database import TestDatabase

_BUCKET = "keeper-tests"


def at(moment: datetime) -> Callable[[], datetime]:
    """Returns a clock that stands still."""
    return lambda: moment


def in_days(days: float) -> Callable[[], datetime]:
    """Returns a clock that stands still `days` from now."""
    return at(datetime.now(UTC) + timedelta(days=days))


class Killed(Exception):
    """The keeper was killed."""


class KilledAfter(StepProgress):
    """Ends a step after some batches, as a kill between two transactions does."""

    def __init__(self, batches: int) -> None:
        self._left = batches

    def advance(self, number: int) -> None:
        self._left -= number > 0
        if self._left <= 0:
            raise Killed


@pytest_asyncio.fixture(loop_scope="session")
async def owner(test_database: TestDatabase) -> AsyncIterator[Database]:
    """Connection pool of a keeper."""
    async with Database.open(
        test_database.owner_url, size=8, timeout_s=30, name="test keeper"
    ) as opened:
        yield opened


@asynccontextmanager
async def opened_bucket(
    servers: EmbeddedServers, *, endpoint: str | None = None, timeout_s: float = 30.0
) -> AsyncIterator[AudioStore]:
    """Opens the bucket of these tests, or another endpoint."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in servers.environment().items():
            environment.setenv(name, value)
        async with AudioStore.open(
            BucketSettings(
                endpoint=endpoint or servers.s3.endpoint(),
                bucket=_BUCKET,
                region="us-east-1",
                addressing_style="path",
                pool_size=32,
                connect_timeout_s=10.0,
                timeout_s=timeout_s,
            )
        ) as store:
            yield store


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_bucket(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    """The bucket of these tests, opened once: to create a client takes 0.3 s."""
    async with opened_bucket(servers) as store:
        await store.ensure_bucket()
        yield store


@pytest_asyncio.fixture(loop_scope="session")
async def bucket(shared_bucket: AudioStore) -> AudioStore:
    """Empty bucket."""
    await shared_bucket.delete_many(await keys_in(shared_bucket))
    return shared_bucket


async def keys_in(store: AudioStore) -> list[str]:
    return sorted([item.key async for item in store.list("")])


def key_of(place: MessageKey) -> str:
    """Returns a key for another upload of a message."""
    message_id = place.message_id
    return message_key(message_id.month, place.account_id, message_id.id, uuid4(), "mp3")


def a_key(received_at: datetime = NOW) -> str:
    """Returns the key of an upload without a message."""
    return message_key(month_of(received_at), uuid4(), uuid4(), uuid4(), "mp3")


async def put(store: AudioStore, *keys: str) -> None:
    """Stores a small object under each key."""
    free = asyncio.Semaphore(32)

    async def one(key: str) -> None:
        async with free:
            await put_bytes(store, key, b"audio", "audio/mpeg")

    await asyncio.gather(*map(one, keys))


async def put_bytes(store: AudioStore, key: str, content: bytes, content_type: str) -> None:
    """Stores an object with that content."""
    with Spool(len(content)) as spool:
        await spool.write(content)
        await store.put(key, spool, content_type)
