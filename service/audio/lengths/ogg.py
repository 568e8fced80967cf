"""Length of an Ogg recording (RFC 3533) with Opus, Vorbis, Speex or FLAC."""

import struct

import msgspec

from service.audio.lengths.reader import ForwardReader
from service.domain.audio_errors import AudioEmpty, NotAudio

_MAX_PAGES = 500_000
_PAGE_HEADER_BYTES = 27
_MAX_SEGMENTS = 255
_FIRST_PACKET_BYTES = 64
_FIRST_PAGE = 0x02
_OPUS_RATE = 48_000
_VIDEO = (b"\x80theora", b"OVP80", b"BBCD\0")
# A stream whose first position is later is a part of a longer stream.
_MAX_FIRST_PAGE_S = 10


class _Stream(msgspec.Struct):
    """Logical stream: rate of its positions, first and last position of its audio."""

    samples_per_s: int
    preskip: int = 0
    start: int | None = None
    end: int = 0

    def add(self, granule: int) -> None:
        if self.start is None:
            is_part = granule > _MAX_FIRST_PAGE_S * self.samples_per_s
            self.start = granule if is_part else self.preskip
        self.end = max(self.end, granule)

    @property
    def length_ms(self) -> float:
        return max(self.end - (self.start or 0), 0) * 1000 / self.samples_per_s


def ogg_length_ms(reader: ForwardReader) -> int | None:
    """Returns the length, from the positions of all complete pages. Chained streams are added."""
    streams: dict[int, _Stream] = {}
    # A page with -1 has audio, but no packet ends on it.
    position, has_audio = 0, False
    for _ in range(_MAX_PAGES):
        page = reader.read(position, _PAGE_HEADER_BYTES + _MAX_SEGMENTS)
        if len(page) < _PAGE_HEADER_BYTES or page[:5] != b"OggS\0":
            break
        granule, serial = struct.unpack_from("<qI", page, 6)
        body = position + _PAGE_HEADER_BYTES + page[26]
        end = body + sum(page[_PAGE_HEADER_BYTES : _PAGE_HEADER_BYTES + page[26]])
        if end > reader.size:
            break
        if page[5] & _FIRST_PAGE:
            stream = _open_stream(reader.read(body, _FIRST_PACKET_BYTES))
            if stream is not None:
                streams[serial] = stream
        elif granule > 0 and serial in streams:
            streams[serial].add(granule)
        has_audio = has_audio or granule != 0
        position = end
    if streams and position == reader.size and not has_audio:
        raise AudioEmpty
    return round(sum(stream.length_ms for stream in streams.values())) or None


def _open_stream(packet: bytes) -> _Stream | None:
    """Reads the first packet of a stream. Returns None for a stream without audio."""
    if packet.startswith(_VIDEO):
        raise NotAudio
    packet = packet.ljust(_FIRST_PACKET_BYTES, b"\0")
    preskip = 0
    if packet.startswith(b"OpusHead"):
        samples_per_s = _OPUS_RATE
        (preskip,) = struct.unpack_from("<H", packet, 10)
    elif packet.startswith(b"\x01vorbis"):
        (samples_per_s,) = struct.unpack_from("<I", packet, 12)
    elif packet.startswith(b"Speex   "):
        (samples_per_s,) = struct.unpack_from("<I", packet, 36)
    elif packet.startswith(b"\x7fFLAC"):
        samples_per_s = int.from_bytes(packet[27:30], "big") >> 4
    else:
        return None
    return _Stream(samples_per_s, preskip) if samples_per_s else None
