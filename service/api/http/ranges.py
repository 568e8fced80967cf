"""Byte ranges (RFC 9110, section 14). Multiple ranges and other units are ignored."""

import re

import msgspec

_SINGLE_RANGE = re.compile(r"bytes=(\d{0,99})-(\d{0,99})", re.IGNORECASE | re.ASCII)


class ByteRange(msgspec.Struct, frozen=True):
    """Range of `length` bytes from offset `start`."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class RangeNotSatisfiable(Exception):
    """The range starts after the end of the audio; `size` is the number of bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Returns the requested range, cut to the size; None without a valid range.

    Raises RangeNotSatisfiable.
    """
    match = None if header is None else _SINGLE_RANGE.fullmatch(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first == "":
        length = min(int(last), size)
        if length == 0:
            raise RangeNotSatisfiable(size)
        return ByteRange(size - length, length)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    end = min(int(last), size - 1) if last else size - 1
    return ByteRange(start, end - start + 1)
