"""Audio formats: accepted content types, file extensions, length of a recording."""

import asyncio
import math
from typing import BinaryIO, cast

from tinytag import TinyTag

from service.audio.spool import Spool
from service.audio.wav import wav_length_ms

# The types that telephony clients send, and `audio/mp4`, a possible `media_extension` of a box.
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
# Extensions in the name of an upload that take precedence over its content type.
_FILENAME_EXTENSIONS = frozenset(
    {"mp3", "mp4", "wav", "ogg", "oga", "opus", "m4a", "aac", "amr", "au", "flac", "gsm", "webm"}
)

MAX_LENGTH_MS = 24 * 60 * 60 * 1000
_MAX_READS = 20_000
_INLINE_READS = 200


def is_accepted(content_type: str) -> bool:
    return _media_type(content_type) in _EXTENSIONS


def extension_of(content_type: str, filename: str | None = None) -> str:
    """Returns the extension of `filename` if it is an audio extension, else that of the type."""
    _, dot, extension = (filename or "").lower().rpartition(".")
    if dot and extension in _FILENAME_EXTENSIONS:
        return extension
    return _EXTENSIONS.get(_media_type(content_type), "bin")


async def length_ms(spool: Spool) -> int | None:
    """Returns the result of `measure_ms` without blocking the event loop.

    Most spools in memory need few reads and are measured inline: a thread costs several times more.
    """
    length = measure_ms(spool, _INLINE_READS) if spool.in_memory else None
    return length or await asyncio.to_thread(measure_ms, spool)


def measure_ms(spool: Spool, max_reads: int = _MAX_READS) -> int | None:
    """Returns the length of the recording, at least 1 ms, or None if it cannot be determined.

    The bytes are untrusted: every parser error counts as an unknown length, the number of reads is
    bounded, and no buffer is larger than the upload. Blocks.
    """
    length = wav_length_ms(spool) or _length_from_tags(spool, max_reads)
    return length if length is not None and length <= MAX_LENGTH_MS else None


def _length_from_tags(spool: Spool, max_reads: int) -> int | None:
    try:
        tag = TinyTag.get(file_obj=cast(BinaryIO, _BoundedReader(spool, max_reads)), tags=False)
    except Exception:
        return None
    seconds = tag.duration
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        return None
    return max(1, round(seconds * 1000))


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


class _BoundedReader:
    """File object with the methods that the parser uses. Allows at most `max_reads` reads."""

    def __init__(self, spool: Spool, max_reads: int) -> None:
        self._spool = spool
        self._position = 0
        self._reads_left = max_reads

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
            raise ValueError("negative position")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position
