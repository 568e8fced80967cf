"""PNG pictures of one colour on a transparent background (W3C PNG specification)."""

import struct
import zlib
from collections.abc import Iterable

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS, _PALETTE = 8, 3
_TRANSPARENT_WHITE = b"\xff\xff\xff"
_NO_FILTER = b"\0"


def encode_columns(columns: Iterable[bytes], height: int, color: tuple[int, int, int]) -> bytes:
    """Returns a PNG of columns of `height` pixels each, from the left. Pixels are 0 or 1."""
    pixels = b"".join(columns)
    rows = b"".join(_NO_FILTER + pixels[row::height] for row in range(height))
    size = struct.pack(">IIBBBBB", len(pixels) // height, height, _BITS, _PALETTE, 0, 0, 0)
    return _SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", size),
            _chunk(b"PLTE", _TRANSPARENT_WHITE + bytes(color)),
            _chunk(b"tRNS", b"\x00"),
            _chunk(b"IDAT", zlib.compress(rows)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
