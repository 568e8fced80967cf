"""Frames of MPEG audio (layers I to III, among them MP3) and of AAC in ADTS (ISO 13818-7)."""

import re
from collections.abc import Callable
from functools import lru_cache

import msgspec

from service.audio.lengths.reader import ForwardReader
from service.domain.audio_errors import AudioEmpty

_HEADER_BYTES = 7
_SYNC_BYTES = 3
_SCAN_BYTES = 4096
_ID3_HEADER_BYTES = 10
# A stream with more frames or gaps than this is not measured.
_MAX_FRAMES = 500_000
_MAX_GAPS = 1000
_MPEG_1 = 3
_RESERVED = 3
_INFO_MARKS = (b"Xing", b"Info", b"VBRI")

_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8000)}
# kbit/s by (version is 1, layer).
_MPEG_1_3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_1_2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_MPEG_1_1 = (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_MPEG_2_1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_MPEG_2_X = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_KBITS = {
    (True, 1): _MPEG_1_1,
    (True, 2): _MPEG_1_2,
    (True, 3): _MPEG_1_3,
    (False, 1): _MPEG_2_1,
    (False, 2): _MPEG_2_X,
    (False, 3): _MPEG_2_X,
}
_ADTS_RATES = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8000, 7350),
)


class Frame(msgspec.Struct, frozen=True):
    """Frame of `size` bytes. `shape` is the same for all frames of a stream."""

    size: int
    samples: int
    samples_per_s: int
    shape: tuple[int, int]


class FrameStream(msgspec.Struct, frozen=True):
    """Kind of frames: pattern of the first three bytes, and parser of a header.

    `is_sized_by_sync` is True if these bytes determine the size of the frame.
    """

    sync: re.Pattern[bytes]
    header: Callable[[bytes], Frame | None]
    is_sized_by_sync: bool = False

    def parse(self, data: bytes) -> Frame | None:
        """Returns the frame that begins with these bytes, or None."""
        if len(data) < _HEADER_BYTES or self.sync.match(data) is None:
            return None
        return self.header(data)

    def count(self, reader: ForwardReader, position: int, frame: Frame) -> int:
        """Returns the number of equal frames that follow each other from `position` on, at least 1.

        This takes a twentieth of the time of parsing each frame.
        """
        if not self.is_sized_by_sync:
            return 1
        return max(reader.count_equal(position, frame.size), 1)


def id3_size(head: bytes) -> int:
    """Returns the size of the ID3v2 tag that these bytes begin with; 0 if there is none."""
    if head[:3] != b"ID3" or len(head) < _ID3_HEADER_BYTES:
        return 0
    high, upper, lower, low = (byte & 0x7F for byte in head[6:_ID3_HEADER_BYTES])
    footer = _ID3_HEADER_BYTES if head[5] & 0x10 else 0
    return _ID3_HEADER_BYTES + (high << 21 | upper << 14 | lower << 7 | low) + footer


def mpeg_length_ms(reader: ForwardReader) -> int | None:
    """Returns the length of an MP3. Each frame is counted: VBR headers are often wrong."""
    return _length_ms(reader, MPEG)


def adts_length_ms(reader: ForwardReader) -> int | None:
    """Returns the length of AAC in ADTS."""
    return _length_ms(reader, ADTS)


def _length_ms(reader: ForwardReader, stream: FrameStream) -> int | None:
    position = id3_size(reader.read(0, _ID3_HEADER_BYTES))
    if 0 < position == reader.size:
        raise AudioEmpty
    samples, gaps = 0, 0
    first: Frame | None = None
    for _ in range(_MAX_FRAMES):
        if position >= reader.size:
            return None if first is None else round(samples * 1000 / first.samples_per_s)
        frame = stream.parse(reader.read(position, _HEADER_BYTES))
        if first is None and frame is not None:
            frame = _confirmed(reader, position, frame, stream)
        if frame is None or (first is not None and frame.shape != first.shape):
            gaps += 1
            if gaps > _MAX_GAPS:
                return None
            position = _next_sync(reader, position + 1, stream)
            continue
        count = 1 if first is None else stream.count(reader, position, frame)
        if first is not None or not _has_info(reader, position, frame):
            samples += frame.samples * count if position + frame.size <= reader.size else 0
        first = first or frame
        position += frame.size * count
    return None


def _confirmed(
    reader: ForwardReader, position: int, frame: Frame, stream: FrameStream
) -> Frame | None:
    """Returns the frame if another one of its shape, or the end of the file, follows it."""
    if position + frame.size == reader.size:
        return frame
    following = stream.parse(reader.read(position, frame.size + _HEADER_BYTES)[frame.size :])
    return frame if following is not None and following.shape == frame.shape else None


def _has_info(reader: ForwardReader, position: int, frame: Frame) -> bool:
    """Returns True if the first frame has metadata instead of audio."""
    return any(mark in reader.read(position, frame.size) for mark in _INFO_MARKS)


def _next_sync(reader: ForwardReader, position: int, stream: FrameStream) -> int:
    """Returns the next position at which a frame may begin, or the end of the file."""
    while position < reader.size:
        block = reader.read(position, _SCAN_BYTES)
        if match := stream.sync.search(block):
            return position + match.start()
        position += max(len(block) - 2, 1)
    return reader.size


def _parse_mpeg(header: bytes) -> Frame | None:
    return _frame_of_sync(header[:_SYNC_BYTES])


@lru_cache(maxsize=1024)
def _frame_of_sync(header: bytes) -> Frame | None:
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    kbits = _MPEG_KBITS[version == _MPEG_1, layer][bitrate]
    if kbits == 0 or rate == _RESERVED:
        return None
    samples_per_s = _MPEG_RATES[version][rate]
    shape = header[1] & 0xFE, rate
    if layer == 1:
        return Frame((12_000 * kbits // samples_per_s + padding) * 4, 384, samples_per_s, shape)
    samples = 576 if layer == 3 and version != _MPEG_1 else 1152
    size = samples * 125 * kbits // samples_per_s + padding
    return Frame(size, samples, samples_per_s, shape)


def _parse_adts(header: bytes) -> Frame | None:
    rate = header[2] >> 2 & 15
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if rate >= len(_ADTS_RATES) or size <= _HEADER_BYTES:
        return None
    samples = 1024 * ((header[6] & 3) + 1)
    return Frame(size, samples, _ADTS_RATES[rate], (header[1] & 0xFE, rate))


MPEG = FrameStream(
    re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x00-\xef]"), _parse_mpeg, is_sized_by_sync=True
)
ADTS = FrameStream(re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), _parse_adts)
