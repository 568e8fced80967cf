"""Length of a WAV recording in any of the encodings that telephony uses."""

import struct

from service.audio.spool import Spool

_MAX_CHUNKS = 64


def wav_length_ms(spool: Spool) -> int | None:
    """Returns the length in milliseconds, or None if the spool is not a WAV with audio.

    It is computed from the byte rate in the header and the number of bytes present. The sizes in
    the header are not reliable: recorders that write into a pipe set the largest number, and
    compressed encodings (mu-law, A-law, GSM) often omit the sample count. Blocks if the spool is
    in a file.
    """
    head = spool.read_at(0, 12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    position, bytes_per_s = 12, 0
    for _ in range(_MAX_CHUNKS):
        header = spool.read_at(position, 8)
        if len(header) < 8:
            return None
        name, size = struct.unpack("<4sI", header)
        position += 8
        if name == b"fmt ":
            bytes_per_s = _bytes_per_s(spool.read_at(position, 16))
        elif name == b"data":
            present = min(size, spool.size - position)
            return max(1, round(present * 1000 / bytes_per_s)) if present and bytes_per_s else None
        position += size + size % 2
    return None


def _bytes_per_s(format_chunk: bytes) -> int:
    if len(format_chunk) < 16:
        return 0
    samples_per_s, bytes_per_s, block = struct.unpack_from("<IIH", format_chunk, 4)
    return int(bytes_per_s or samples_per_s * block)
