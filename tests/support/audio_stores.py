"""Audio stores: one that works, and some that fail."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import pytest_asyncio

from service.audio.s3_session import BucketSettings
from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.embedded.servers import EmbeddedServers

Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def opened(
    servers: EmbeddedServers,
    *,
    endpoint: str | None = None,
    credentials: dict[str, str] | None = None,
    bucket: str = "audio-tests",
    pool_size: int = 16,
    timeout_s: float = 30.0,
    sse: str | None = None,
    sse_kms_key_id: str | None = None,
    cache_bytes: int = 0,
) -> AsyncIterator[AudioStore]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (servers.environment() | (credentials or {})).items():
            environment.setenv(name, value)
        async with AudioStore.open(
            BucketSettings(
                endpoint=endpoint or servers.s3.endpoint(),
                bucket=bucket,
                region="us-east-1",
                addressing_style="path",
                sse=sse,
                sse_kms_key_id=sse_kms_key_id,
                pool_size=pool_size,
                connect_timeout_s=10.0,
                timeout_s=timeout_s,
                cache_bytes=cache_bytes,
            )
        ) as store:
            yield store


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    async with opened(servers) as ready:
        await ready.ensure_bucket()
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient(servers: EmbeddedServers, store: AudioStore) -> AsyncIterator[AudioStore]:
    """The same objects as `store`, with a timeout of 0.3 s for each operation."""
    await store.ping()
    async with opened(servers, timeout_s=0.3) as ready:
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stranger(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    async with opened(servers, credentials={"AWS_SECRET_ACCESS_KEY": "sesame-sesame"}) as ready:
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nowhere(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    """Store without a server at its address."""
    async with opened(servers, endpoint="http://127.0.0.1:9", timeout_s=0.6) as ready:
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cut_off(servers: EmbeddedServers) -> AsyncIterator[AudioStore]:
    """A store that resets every connection after the first bytes."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.transport.abort()

    async with (
        listening(reset) as endpoint,
        opened(servers, endpoint=endpoint, timeout_s=0.6) as ready,
    ):
        yield ready


@asynccontextmanager
async def listening(connection: Connection) -> AsyncIterator[str]:
    """Runs a server on loopback that handles each connection by `connection`; yields its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await connection(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def a_key() -> str:
    return f"tests/{uuid4().hex}.mp3"


async def put(store: AudioStore, key: str, audio: bytes) -> None:
    with Spool(8_000_000) as spool:
        for start in range(0, len(audio), 65_536):
            await spool.write(audio[start : start + 65_536])
        await store.put(key, spool, "audio/mpeg")


async def got(store: AudioStore, key: str, start: int, length: int) -> bytes:
    async with store.read(key, start, length) as blocks:
        return b"".join([block async for block in blocks])


async def listed(store: AudioStore, prefix: str) -> list[str]:
    return [item.key async for item in store.list(prefix)]
