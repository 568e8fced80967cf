import asyncio
import hashlib
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from service.audio.spool import MEMORY_BYTES, Spool
from service.domain.audio_errors import AudioTooLarge
from tests.support.waiting import wait_until

MEGABYTES = 8_000_000
FILES = Path("/proc/self/fd")


def open_files() -> int:
    return len(list(FILES.iterdir()))


@contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """Yields the peak of the memory that Python has allocated since the block began."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def whole(body: bytes | AsyncIterator[bytes]) -> bytes:
    return body if isinstance(body, bytes) else b"".join([block async for block in body])


async def fill(spool: Spool, audio: bytes, step: int = 65_536) -> None:
    for start in range(0, len(audio), step):
        await spool.write(audio[start : start + step])


@pytest.mark.parametrize("size", [0, 1, MEMORY_BYTES, MEMORY_BYTES + 1, 3_000_001])
async def test_a_spool_can_be_read_more_than_once(size: int) -> None:
    audio = os.urandom(size)
    with Spool(MEGABYTES) as spool:
        await fill(spool, audio)
        assert await whole(spool.body()) == audio
        assert await whole(spool.body()) == audio
        assert (spool.size, spool.sha256()) == (size, hashlib.sha256(audio).digest())


async def test_a_spool_above_one_mebibyte_moves_to_a_file() -> None:
    with Spool(MEGABYTES) as small, Spool(MEGABYTES) as large:
        await fill(small, bytes(MEMORY_BYTES))
        await fill(large, bytes(MEMORY_BYTES + 1))
        assert isinstance(small.body(), bytes)
        assert not isinstance(large.body(), bytes)


async def test_a_large_upload_uses_little_memory() -> None:
    with Spool(MEGABYTES) as spool, traced_memory() as peak_bytes:
        for _ in range(MEGABYTES // 100_000):
            await spool.write(bytes(100_000))
        # The buffer grows in steps and is copied when it does.
        assert peak_bytes() < 3 * MEMORY_BYTES


async def test_the_limit_is_exact() -> None:
    with Spool(10) as spool:
        await spool.write(b"0123456789")
        with pytest.raises(AudioTooLarge) as caught:
            await spool.write(b"!")
        assert caught.value.limit == 10
        assert await whole(spool.body()) == b"0123456789"


async def test_a_spool_may_be_closed_twice_and_is_unreadable_afterwards() -> None:
    spool = Spool(MEGABYTES)
    await fill(spool, bytes(2_000_000))
    spool.close()
    spool.close()
    with pytest.raises(ValueError, match="closed"):
        spool.read_at(0, 1)


@pytest.mark.skipif(not FILES.is_dir(), reason="counts open files in /proc")
async def test_a_cancelled_write_leaves_no_open_file() -> None:
    before = open_files()
    for _ in range(20):
        with Spool(MEGABYTES) as spool:
            write = asyncio.create_task(spool.write(bytes(MEMORY_BYTES + 1)))
            await asyncio.sleep(0)
            write.cancel()
            await asyncio.gather(write, return_exceptions=True)
    await wait_until(lambda: open_files() <= before)


async def test_many_uploads_share_the_memory() -> None:
    with ExitStack() as stack:
        spools = [stack.enter_context(Spool(MEGABYTES)) for _ in range(64)]
        with traced_memory() as peak_bytes:
            for spool in spools:
                await fill(spool, bytes(MEMORY_BYTES))
            assert peak_bytes() < 20 * MEMORY_BYTES
    with Spool(MEGABYTES) as alone:
        await fill(alone, bytes(MEMORY_BYTES))
        assert alone.in_memory
