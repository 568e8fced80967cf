"""Length of a recording in a format that a library parses: FLAC, AIFF."""

import io
import math
from typing import BinaryIO, cast

from tinytag import TinyTag

from service.audio.spool import Spool

_MAX_READS = 20_000


def tagged_length_ms(spool: Spool) -> int | None:
    """Returns the length, from the number of samples in the header. Blocks.

    Every parser error counts as an unknown length; the number of reads and of bytes is bounded.
    """
    try:
        tag = TinyTag.get(file_obj=cast(BinaryIO, _BoundedReader(spool)), tags=False)
    except Exception:
        return None
    seconds = tag.duration
    return None if seconds is None or not math.isfinite(seconds) else round(seconds * 1000)


class _BoundedReader(io.RawIOBase):
    """File for the parser. Reads the spool at most once, in at most `_MAX_READS` reads."""

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self._spool = spool
        self._position = 0
        self._reads_left = _MAX_READS
        self._bytes_left = spool.size + _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        rest = max(0, self._spool.size - self._position)
        length = rest if size is None or size < 0 else min(size, rest)
        self._reads_left -= 1
        self._bytes_left -= length
        if self._reads_left < 0 or self._bytes_left < 0:
            raise ValueError("too many reads")
        block = self._spool.read_at(self._position, length)
        self._position += len(block)
        return block

    def seek(self, offset: int, whence: int = 0, /) -> int:
        position = offset + (0, self._position, self._spool.size)[whence]
        if position < 0:
            raise ValueError("negative position")
        self._position = position
        return position
