"""Audio formats: the content types that are taken, their extensions, a recording's length."""

import asyncio
import math
from typing import BinaryIO, cast

from tinytag import TinyTag

from service.audio.spool import Spool
from service.audio.wav import wav_ms

# What telephony clients send as audio, and `audio/mp4`, which boxes may choose as their
# `media_extension`.
_EXTENSIONS = {
    "application/octet-stream": "bin",
    "audio/x-wav": "wav",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/ogg": "ogg",
    "audio/mp4": "mp4",
}
ACCEPTED_TYPES = frozenset(_EXTENSIONS)
# What the name of an upload may say better than its type; `bin` says nothing.
_NAMED_EXTENSIONS = frozenset(
    {"mp3", "mp4", "wav", "ogg", "oga", "opus", "m4a", "aac", "amr", "au", "flac", "gsm", "webm"}
)

LONGEST_MS = 24 * 60 * 60 * 1000
_MOST_READS = 20_000
_A_FEW_READS = 200


def is_accepted(content_type: str) -> bool:
    return _bare(content_type) in _EXTENSIONS


def extension_of(content_type: str, filename: str | None = None) -> str:
    """The name's when audio has such a one, else the type's; `bin` for an unknown type."""
    _, dot, named = (filename or "").lower().rpartition(".")
    if dot and named in _NAMED_EXTENSIONS:
        return named
    return _EXTENSIONS.get(_bare(content_type), "bin")


async def length_ms(spool: Spool) -> int | None:
    """As `measure_ms`. What lies in memory and takes a few looks is measured on the spot: handing
    it to a thread would cost several times as much."""
    length = measure_ms(spool, _A_FEW_READS) if spool.in_memory else None
    return length or await asyncio.to_thread(measure_ms, spool)


def measure_ms(spool: Spool, most_reads: int = _MOST_READS) -> int | None:
    """The length of the recording, at least 1 ms; None when nobody can tell.

    The bytes come from strangers: whatever the parser trips over counts as unknown, it reads a
    bounded number of times, and it never gets a buffer larger than the upload. Blocks.
    """
    length = wav_ms(spool) or _tagged_ms(spool, most_reads)
    return length if length is not None and length <= LONGEST_MS else None


def _tagged_ms(spool: Spool, most_reads: int) -> int | None:
    try:
        tag = TinyTag.get(file_obj=cast(BinaryIO, _BoundedReader(spool, most_reads)), tags=False)
    except Exception:
        return None
    seconds = tag.duration
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        return None
    return max(1, round(seconds * 1000))


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


class _BoundedReader:
    """As much of a file object as the parser needs, for at most `reads` reads."""

    def __init__(self, spool: Spool, reads: int) -> None:
        self._spool = spool
        self._position = 0
        self._reads_left = reads

    def read(self, length: int = -1) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0:
            raise ValueError("too many reads")
        rest = max(0, self._spool.size - self._position)
        block = self._spool.read_at(self._position, rest if length < 0 else min(length, rest))
        self._position += len(block)
        return block

    def seek(self, offset: int, whence: int = 0) -> int:
        position = offset + (0, self._position, self._spool.size)[whence]
        if position < 0:
            raise ValueError("before the beginning")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position
