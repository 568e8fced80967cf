"""The audio of a message as a whole, for channels that send it somewhere."""

import asyncio
import hashlib

from service.audio.store import AudioStore
from service.domain.message import Audio


class AudioDamaged(Exception):
    """What the store gives is not what was put there."""


async def whole_audio(store: AudioStore, audio: Audio) -> bytes:
    """Every byte, proved by its digest. Raises AudioMissing, AudioDamaged, Unavailable."""
    async with store.read(audio.key, 0, audio.size) as blocks:
        content = b"".join([block async for block in blocks])
    digest = await asyncio.to_thread(lambda: hashlib.sha256(content).digest())
    if digest != audio.sha256:
        raise AudioDamaged("the stored audio is not what was stored")
    return content
