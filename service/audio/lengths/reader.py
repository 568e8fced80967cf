"""Forward-only access to a spool, in blocks."""

from service.audio.spool import Spool

BLOCK_BYTES = 64 * 1024
_LONG_RUN = 40


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

    def count_equal(self, position: int, head: bytes, size: int) -> int:
        """Counts complete pieces of `size` bytes from `position` on that begin with `head`.

        Counts up to the end of the block that is in memory.
        """
        self.read(position, size)
        block, start = self._block, position - self._start
        offset, end = start, len(block) - size + 1
        long = min(end, start + _LONG_RUN * size)
        while offset < long and block.startswith(head, offset):
            offset += size
        if offset == start + _LONG_RUN * size:
            # Comparing every `size`-th byte costs a fraction of a call for each piece.
            columns = [block[offset + i : end + i : size] for i in range(len(head))]
            offset += size * min(
                len(column) - len(column.lstrip(head[i : i + 1]))
                for i, column in enumerate(columns)
            )
        return (offset - start) // size

    def _fetch(self, position: int, length: int) -> None:
        kept = self._block[position - self._start :]
        missing = max(length, BLOCK_BYTES) - len(kept)
        self._block = kept + self._spool.read_at(position + len(kept), missing)
        self._start = position
