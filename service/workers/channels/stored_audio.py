"""Complete audio of a message, for channels that send it."""

import asyncio
import hashlib

from service.audio.store import AudioStore
from service.domain.message import Audio


class AudioDamaged(Exception):
    """The audio in the store does not match its checksum."""


async def read_whole_audio(store: AudioStore, audio: Audio) -> bytes:
    """Reads the audio and verifies its SHA-256. Raises AudioMissing, AudioDamaged, Unavailable."""
    async with store.read(audio.key, 0, audio.size) as blocks:
        content = b"".join([block async for block in blocks])
    digest = await asyncio.to_thread(lambda: hashlib.sha256(content).digest())
    if digest != audio.sha256:
        raise AudioDamaged("the stored audio does not match its checksum")
    return content
