"""Temporary files between the audio store and the processes that convert audio."""

import asyncio
import os
from typing import IO

from service.audio.spool import BLOCK_BYTES, Spool
from service.audio.store import AudioStore
from service.domain.errors import StorageUnavailable
from service.domain.message import Audio


async def fetch_audio(store: AudioStore, audio: Audio, file: IO[bytes]) -> None:
    """Writes stored audio into a file. Raises AudioMissing, StorageUnavailable."""
    async with store.read(audio.key, 0, audio.size) as blocks:
        async for block in blocks:
            await asyncio.to_thread(_write, file, block)


async def write_spool(spool: Spool, file: IO[bytes]) -> None:
    """Writes an upload into a file. Raises StorageUnavailable."""
    body = spool.body()
    if isinstance(body, bytes):
        await asyncio.to_thread(_write, file, body)
        return
    async for block in body:
        await asyncio.to_thread(_write, file, block)


async def store_file(store: AudioStore, key: str, file: IO[bytes], content_type: str) -> Audio:
    """Stores a file under a new key. Raises StorageUnavailable."""
    size = os.fstat(file.fileno()).st_size
    with Spool(size) as spool:
        while spool.size < size:
            await spool.write(os.pread(file.fileno(), BLOCK_BYTES, spool.size))
        await store.put(key, spool, content_type)
        return Audio(key=key, content_type=content_type, size=size, sha256=spool.sha256())


def _write(file: IO[bytes], block: bytes) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise StorageUnavailable(f"temporary file: {error.strerror}") from error
