"""Length of a WebM recording (RFC 9559). Recordings that a browser streams have no sizes."""

import struct

import msgspec

from service.audio.lengths.reader import ForwardReader
from service.domain.audio_errors import AudioEmpty, NotAudio

_MAX_ELEMENTS = 200_000
_MAX_HEADER_BYTES = 12
# Elements whose content is read as elements; an unknown size therefore needs no special case.
_MASTERS = frozenset(
    {0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0x1F43B675, 0xA0}  # Segment to BlockGroup
)
_TIMESTAMP_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK_TYPE, _VIDEO_TRACK = 0x83, 1
_CLUSTER_TIMESTAMP = 0xE7
_BLOCKS = frozenset({0xA3, 0xA1})
_DEFAULT_SCALE_NS = 1_000_000


class _Times(msgspec.Struct):
    """Times of the blocks, and the duration in the header, in units of `scale_ns`."""

    scale_ns: int = _DEFAULT_SCALE_NS
    claimed: float = 0.0
    cluster: int = 0
    first: int | None = None
    last: int = 0
    # Between the last two blocks.
    gap: int = 0

    def add(self, moment: int) -> None:
        if self.first is None:
            self.first = self.last = moment
        if moment > self.last:
            self.gap, self.last = moment - self.last, moment

    @property
    def length_ms(self) -> int | None:
        """Returns the length up to the end of the last block.

        The duration in the header is exact, but used only if the blocks confirm it.
        """
        end = self.last - (self.first or 0) + self.gap
        is_confirmed = end - self.gap <= self.claimed <= end + self.gap
        return round((self.claimed if is_confirmed else end) * self.scale_ns / 1e6) or None


def webm_length_ms(reader: ForwardReader) -> int | None:
    """Returns the length, from the times of its blocks."""
    times, position = _Times(), 0
    for _ in range(_MAX_ELEMENTS):
        header = reader.read(position, _MAX_HEADER_BYTES)
        if not header:
            break
        parsed = _parse_header(header)
        if parsed is None:
            return times.length_ms
        element, size, start = parsed[0], parsed[1], position + parsed[2]
        if element in _MASTERS:
            position = start
            continue
        if start + size > reader.size:
            return times.length_ms
        _read_element(times, element, reader.read(start, min(size, 8)))
        position = start + size
    else:
        return None
    if times.first is None:
        raise AudioEmpty
    return times.length_ms


def _read_element(times: _Times, element: int, content: bytes) -> None:
    if element in _BLOCKS:
        track_bytes = _vint_bytes(content)
        relative = content[track_bytes : track_bytes + 2]
        if len(relative) == 2:
            times.add(times.cluster + int.from_bytes(relative, "big", signed=True))
    elif element == _CLUSTER_TIMESTAMP:
        times.cluster = int.from_bytes(content, "big")
    elif element == _TRACK_TYPE and int.from_bytes(content, "big") == _VIDEO_TRACK:
        raise NotAudio
    elif element == _TIMESTAMP_SCALE:
        times.scale_ns = int.from_bytes(content, "big")
    elif element == _DURATION and len(content) in (4, 8):
        (times.claimed,) = struct.unpack(">f" if len(content) == 4 else ">d", content)


def _parse_header(header: bytes) -> tuple[int, int, int] | None:
    """Returns the ID of an element, the size of its content, and the size of its header."""
    id_bytes = _vint_bytes(header)
    size_bytes = _vint_bytes(header[id_bytes:])
    end = id_bytes + size_bytes
    if not 1 <= id_bytes <= 4 or not size_bytes or end > len(header):
        return None
    size = int.from_bytes(header[id_bytes:end], "big") & ((1 << 7 * size_bytes) - 1)
    return int.from_bytes(header[:id_bytes], "big"), size, end


def _vint_bytes(data: bytes) -> int:
    """Returns the length of the variable-size integer at the start; 0 if there is none."""
    return 9 - data[0].bit_length() if data and data[0] else 0
