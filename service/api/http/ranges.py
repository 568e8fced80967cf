"""Byte ranges of RFC 9110, section 14: one range; several, or another unit, count as none."""

import re

import msgspec

_ONE_RANGE = re.compile(r"bytes=(\d{0,99})-(\d{0,99})", re.IGNORECASE | re.ASCII)


class ByteRange(msgspec.Struct, frozen=True):
    """`length` bytes from `start`."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class RangeNotSatisfiable(Exception):
    """The range begins behind the end; `size` is what there is."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The range that is asked for, cut to what there is; None means everything.

    Raises RangeNotSatisfiable.
    """
    match = None if header is None else _ONE_RANGE.fullmatch(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first == "":
        wanted = min(int(last), size)
        if wanted == 0:
            raise RangeNotSatisfiable(size)
        return ByteRange(size - wanted, wanted)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    end = min(int(last), size - 1) if last else size - 1
    return ByteRange(start, end - start + 1)
