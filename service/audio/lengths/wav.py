"""Length of a WAV recording (RIFF, RF64, BW64) in the encodings that telephony uses."""

import struct

import msgspec

from service.audio.lengths.reader import ForwardReader
from service.domain.audio_errors import AudioEmpty

_MAX_CHUNKS = 64
_CHUNK_HEADER_BYTES = 8
_FORM_HEADER_BYTES = 12
_MAX_FORMAT_BYTES = 64
_EXTENSIBLE = 0xFFFE
# PCM and IEEE float: the header gives the bits of a sample. A-law and mu-law always have 8.
_LINEAR, _COMPANDED = frozenset({1, 3}), frozenset({6, 7})
# MS ADPCM, IMA ADPCM, GSM 6.10: blocks have a fixed number of samples.
_BLOCK_CODINGS = frozenset({0x02, 0x11, 0x31})
_UNKNOWN_SIZE = 0xFFFFFFFF


class _Chunk(msgspec.Struct, frozen=True):
    name: bytes
    size: int
    start: int

    @property
    def end(self) -> int:
        """Position after the chunk: chunks begin at even positions."""
        return self.start + self.size + self.size % 2

    def is_plausible(self, file_size: int) -> bool:
        name = self.name.strip()
        return name.isascii() and name.isalnum() and self.start + self.size <= file_size


def wav_length_ms(reader: ForwardReader) -> int | None:
    """Returns the length, from the number of audio bytes that are present.

    Sizes in the header are not reliable: recorders that write into a pipe set 0 or the largest
    number. Byte rates are not reliable either, so they are computed where the encoding allows it.
    """
    position, bytes_per_s, long_size = _FORM_HEADER_BYTES, 0.0, None
    form_end = _form_end(reader)
    for _ in range(_MAX_CHUNKS):
        chunk = _read_chunk(reader, position)
        if chunk is None:
            # The file ends without audio.
            raise AudioEmpty
        if chunk.name == b"fmt ":
            bytes_per_s = _bytes_per_s(reader.read(chunk.start, min(chunk.size, _MAX_FORMAT_BYTES)))
        elif chunk.name == b"ds64":
            long_size = _long_data_size(reader.read(chunk.start, 16))
        elif chunk.name == b"data":
            present = _audio_bytes(reader, chunk, long_size, form_end)
            return round(present * 1000 / bytes_per_s) if bytes_per_s else None
        position = chunk.end
    return None


def _read_chunk(reader: ForwardReader, position: int) -> _Chunk | None:
    header = reader.read(position, _CHUNK_HEADER_BYTES)
    if len(header) < _CHUNK_HEADER_BYTES:
        return None
    name, size = struct.unpack("<4sI", header)
    return _Chunk(name, size, position + _CHUNK_HEADER_BYTES)


def _form_end(reader: ForwardReader) -> int:
    size: int = struct.unpack_from("<I", reader.read(4, 4).ljust(4, b"\0"))[0]
    return _CHUNK_HEADER_BYTES + size


def _long_data_size(chunk: bytes) -> int | None:
    return struct.unpack_from("<8xQ", chunk)[0] if len(chunk) == 16 else None


def _audio_bytes(reader: ForwardReader, data: _Chunk, long_size: int | None, form_end: int) -> int:
    """Returns the number of audio bytes. If the size cannot be right, counts all following bytes.

    Raises AudioEmpty if there is no audio.
    """
    rest = reader.size - data.start
    size = long_size if data.size == _UNKNOWN_SIZE and long_size is not None else data.size
    if rest <= 0:
        raise AudioEmpty
    if size > rest:
        return rest
    end = data.start + size + size % 2
    if size and form_end in (data.start + size, end):
        return size
    if reader.size - end >= _CHUNK_HEADER_BYTES and not _continues(reader, end):
        return rest
    if size == 0:
        raise AudioEmpty
    return size


def _continues(reader: ForwardReader, position: int) -> bool:
    """Returns True if a chunk begins at a position, and not audio."""
    chunk = _read_chunk(reader, position)
    return chunk is not None and chunk.is_plausible(reader.size)


def _bytes_per_s(chunk: bytes) -> float:
    """Returns the byte rate of a `fmt ` chunk; 0 if it is not known."""
    if len(chunk) < 16:
        return 0
    coding, channels, samples_per_s, bytes_per_s, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if coding == _EXTENSIBLE and len(chunk) >= 26:
        (coding,) = struct.unpack_from("<H", chunk, 24)
    if coding in _COMPANDED and channels:
        return float(samples_per_s * channels)
    if coding in _LINEAR and channels and bits:
        return float(samples_per_s * channels * -(-bits // 8))
    if coding in _BLOCK_CODINGS and block and len(chunk) >= 20:
        (samples_per_block,) = struct.unpack_from("<H", chunk, 18)
        if samples_per_block:
            return float(samples_per_s * block / samples_per_block)
    return float(bytes_per_s)
