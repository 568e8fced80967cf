"""Forward-only access to a spool, in blocks."""

from service.audio.spool import Spool

BLOCK_BYTES = 64 * 1024


class ForwardReader:
    """Reads a spool from the front to the back, so that no byte is fetched twice.

    Blocks if the spool is in a file.
    """

    def __init__(self, spool: Spool) -> None:
        self.size = spool.size
        self._spool = spool
        self._start = 0
        self._block = b""

    def read(self, position: int, length: int) -> bytes:
        """Returns at most `length` bytes. Positions before an earlier one raise ValueError."""
        offset = position - self._start
        if offset < 0:
            raise ValueError("the reader only moves forward")
        if offset + length > len(self._block) and position < self.size:
            self._fetch(position, length)
            offset = 0
        return self._block[offset : offset + length]

    def _fetch(self, position: int, length: int) -> None:
        kept = self._block[position - self._start :]
        missing = max(length, BLOCK_BYTES) - len(kept)
        self._block = kept + self._spool.read_at(position + len(kept), missing)
        self._start = position
