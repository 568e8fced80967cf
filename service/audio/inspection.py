"""Inspection of an upload before it is stored: its type, its extension, its length."""

import asyncio
from collections.abc import Callable

import msgspec

from service.audio.formats import (
    AAC,
    AIFF,
    FLAC,
    MP3,
    MP4,
    OGG,
    WAV,
    WEBM,
    AudioFormat,
    determine_type,
)
from service.audio.lengths.frames import adts_length_ms, mpeg_length_ms
from service.audio.lengths.mp4 import mp4_length_ms
from service.audio.lengths.ogg import ogg_length_ms
from service.audio.lengths.reader import ForwardReader
from service.audio.lengths.tags import tagged_length_ms
from service.audio.lengths.wav import wav_length_ms
from service.audio.lengths.webm import webm_length_ms
from service.audio.spool import Spool
from service.domain.audio_errors import AudioEmpty

UNKNOWN_LENGTH_MS = 1
"""Length of a recording that cannot be measured."""
MAX_LENGTH_MS = 24 * 60 * 60 * 1000

# Opus with discontinuous transmission needs more, including its container.
_MIN_BYTES_PER_S = 16
# Up to a few milliseconds on the event loop.
_INLINE_BYTES = 64 * 1024
_LENGTHS: dict[AudioFormat, Callable[[ForwardReader], int | None]] = {
    WAV: wav_length_ms,
    MP3: mpeg_length_ms,
    AAC: adts_length_ms,
    OGG: ogg_length_ms,
    MP4: mp4_length_ms,
    WEBM: webm_length_ms,
}
_TAGGED = (FLAC, AIFF)


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of an upload."""

    content_type: str
    extension: str
    length_ms: int


async def inspect(spool: Spool, content_type: str, filename: str | None = None) -> Inspection:
    """Returns the properties of an upload. `content_type` and `filename` are what the client says.

    Raises AudioEmpty for a file without audio, NotAudio for a file that is clearly not audio.
    """
    if spool.size == 0:
        raise AudioEmpty
    decision = determine_type(spool.head, content_type, filename)
    length = None if decision.format is None else await _length_ms(spool, decision.format)
    return Inspection(
        content_type=decision.content_type,
        extension=decision.extension,
        length_ms=length or UNKNOWN_LENGTH_MS,
    )


async def _length_ms(spool: Spool, kind: AudioFormat) -> int | None:
    # A thread costs more than measuring a small file, or a WAV of any size in memory.
    if spool.in_memory and (kind is WAV or spool.size <= _INLINE_BYTES):
        return measure_ms(spool, kind)
    return await asyncio.to_thread(measure_ms, spool, kind)


def measure_ms(spool: Spool, kind: AudioFormat) -> int | None:
    """Returns the length of a recording, at least 1 ms, or None if it cannot be measured.

    Blocks. Raises AudioEmpty, NotAudio.
    """
    if kind in _TAGGED:
        length = tagged_length_ms(spool)
    elif (measure := _LENGTHS.get(kind)) is not None:
        length = measure(ForwardReader(spool))
    else:
        return None
    if length is None or not 0 <= length <= MAX_LENGTH_MS:
        return None
    # A greater length comes from a wrong header: the file has too few bytes for it.
    is_plausible = length * _MIN_BYTES_PER_S <= spool.size * 1000
    return max(length, 1) if is_plausible else None
