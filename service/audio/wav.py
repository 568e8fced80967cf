"""WAV headers: how long such a recording is, in any of the codings that telephony uses."""

import struct

from service.audio.spool import Spool

_MOST_CHUNKS = 64


def wav_ms(spool: Spool) -> int | None:
    """Length in milliseconds by the header's byte rate and the bytes that are really there.

    The sizes in a header are not believed: recorders that write into a pipe put the largest number
    there, and the compressed codings (mu-law, A-law, GSM) often come without their sample count.
    None when it is not a WAV with audio. Blocks when the spool lies in a file.
    """
    head = spool.read_at(0, 12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    position, bytes_per_s = 12, 0
    for _ in range(_MOST_CHUNKS):
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


def _bytes_per_s(shape: bytes) -> int:
    if len(shape) < 16:
        return 0
    samples_per_s, bytes_per_s, block = struct.unpack_from("<IIH", shape, 4)
    return int(bytes_per_s or samples_per_s * block)
