"""Audio samples: tones as MP3 and as WAV in the codings of telephony, and containers by hand."""

import array
import math
import struct
import sys
from pathlib import Path

TONE_MP3 = Path(__file__).with_name("tone.mp3")
"""One second of 440 Hz, mono, 16 kHz, 16 kbit/s."""
MEDIARECORDER_WEBM = Path(__file__).with_name("mediarecorder.webm")
"""One second of Opus from the MediaRecorder of a browser."""

PCM, MU_LAW = 1, 7


def an_mp3() -> bytes:
    return TONE_MP3.read_bytes()


def a_wav(seconds: float = 1.0, rate: int = 8000) -> bytes:
    """A tone as 16-bit PCM, mono, as a PBX records it."""
    samples = array.array(
        "h",
        (int(9000 * math.sin(2 * math.pi * 440 * i / rate)) for i in range(int(seconds * rate))),
    )
    if sys.byteorder == "big":
        samples.byteswap()
    return riff(PCM, 16, rate, samples.tobytes())


def a_mu_law_wav(seconds: float = 1.0, rate: int = 8000) -> bytes:
    """A tone as G.711 mu-law, mono, as a phone line transmits it."""
    samples = (0.3 * math.sin(2 * math.pi * 440 * i / rate) for i in range(int(seconds * rate)))
    return riff(MU_LAW, 8, rate, bytes(map(_mu_law, samples)))


def riff(
    coding: int,
    bits: int,
    rate: int,
    audio: bytes,
    *,
    claimed: int | None = None,
    byte_rate: int | None = None,
) -> bytes:
    """A mono WAV; `claimed` is a wrong number of audio bytes in its header."""
    block = bits // 8
    bytes_per_s = rate * block if byte_rate is None else byte_rate
    shape = struct.pack("<HHIIHH", coding, 1, rate, bytes_per_s, block, bits)
    size = len(audio) if claimed is None else claimed
    chunks = b"fmt " + struct.pack("<I", len(shape)) + shape + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(audio)) + b"WAVE" + chunks + audio


def _mu_law(sample: float) -> int:
    """One sample, from -1 to 1, by the formula of G.711 with mu = 255."""
    sign = 0x80 if sample >= 0 else 0x00
    level = math.log1p(255 * min(1.0, abs(sample))) / math.log1p(255)
    return sign | (0x7F - int(level * 0x7F))


def rf64(rate: int, audio: bytes, kind: bytes = b"RF64") -> bytes:
    """A 16-bit mono WAV with 64-bit sizes (EBU Tech 3306), and a chunk after its audio."""
    shape = struct.pack("<HHIIHH", PCM, 1, rate, rate * 2, 2, 16)
    trailer = b"LIST" + struct.pack("<I", 4) + b"INFO"
    total = 4 + 8 + 28 + 8 + len(shape) + 8 + len(audio) + len(trailer)
    sizes = struct.pack("<QQQI", total, len(audio), len(audio) // 2, 0)
    chunks = b"ds64" + struct.pack("<I", len(sizes)) + sizes
    chunks += b"fmt " + struct.pack("<I", len(shape)) + shape
    unknown = struct.pack("<I", 0xFFFFFFFF)
    return kind + unknown + b"WAVE" + chunks + b"data" + unknown + audio + trailer


def mp3_frames(count: int, info_frames: int | None = None) -> bytes:
    """Silent frames of 24 ms (MPEG 2 layer III, 24 kHz, 8 kbit/s).

    `info_frames` is the number of frames that an Info header before them claims.
    """
    header, size = b"\xff\xf3\x14\xc4", 24
    frame = header + bytes(size - len(header))
    if info_frames is None:
        return frame * count
    info = b"\xff\xf3\x54\xc4" + bytes(9) + b"Info" + struct.pack(">II", 1, info_frames)
    return info.ljust(120, b"\0") + frame * count


def adts_frames(count: int, size: int = 32) -> bytes:
    """Frames of 64 ms (AAC LC, 16 kHz, mono) in ADTS."""
    header = bytes([0xFF, 0xF1, 0x60, 0x40, size >> 3, (size & 7) << 5 | 0x1F, 0xFC])
    return (header + bytes(size - len(header))) * count


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def an_mp4(
    seconds: int, *, fragments: int = 0, brand: bytes = b"isom", kind: bytes = b"soun"
) -> bytes:
    """An MP4 with samples of 100 ms: progressive, or in fragments with durations from `trex`."""
    rate, sample, samples = 8000, 800, seconds * 10
    in_moov = 0 if fragments else samples
    sound = box(
        b"mdia",
        box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, rate, 0, 0)),
        box(b"hdlr", bytes(8), kind, bytes(12)),
        box(b"minf", box(b"stbl", box(b"stts", struct.pack(">IIII", 0, 1, in_moov, sample)))),
    )
    trex = box(b"trex", struct.pack(">IIIIII", 0, 1, 1, sample, 0, 0))
    moov = box(
        b"moov",
        box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 0), bytes(80)),
        box(b"trak", box(b"tkhd", struct.pack(">IIII", 0, 0, 0, 1), bytes(68)), sound),
        *([box(b"mvex", trex)] if fragments else []),
    )
    begin = box(b"ftyp", brand, bytes(4), brand)
    if not fragments:
        return begin + moov + box(b"mdat", bytes(40 * samples))
    run = samples // fragments
    fragment = box(
        b"moof",
        box(
            b"traf",
            box(b"tfhd", struct.pack(">II", 0x020000, 1)),
            box(b"trun", struct.pack(">II", 0, run)),
        ),
    )
    return begin + moov + (fragment + box(b"mdat", bytes(40 * run))) * fragments


def ogg_page(packet: bytes, granule: int, *, first: bool = False, serial: int = 7) -> bytes:
    segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, 2 * first, granule, serial, 0, 0, len(segments))
    return head + segments + packet


def an_opus(seconds: int, *, preskip: int = 312) -> bytes:
    """Opus in Ogg without an end-of-stream mark, as of a recorder that was stopped."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, preskip, 16_000, 0, 0)
    pages = [ogg_page(head, 0, first=True), ogg_page(b"OpusTags" + bytes(8), 0)]
    pages += [ogg_page(bytes(200), 48_000 * (i + 1) + preskip) for i in range(seconds)]
    return b"".join(pages)


def a_webm(seconds: int, *, track_type: int = 1 + 1) -> bytes:
    """A WebM of a browser: a segment and clusters of unknown size, blocks of 20 ms, no duration."""
    unknown = b"\x01" + b"\xff" * 7
    ebml = b"\x1aE\xdf\xa3\x87\x42\x82\x84webm"
    tracks = b"\x16\x54\xae\x6b\x85\xae\x83\x83\x81" + bytes([track_type])
    clusters = b"".join(
        b"\x1f\x43\xb6\x75"
        + unknown
        + b"\xe7\x84"
        + struct.pack(">I", second * 1000)
        + b"".join(
            b"\xa3\x88\x81" + struct.pack(">h", block * 20) + b"\x80\x98abc" for block in range(50)
        )
        for second in range(seconds)
    )
    return ebml + b"\x18\x53\x80\x67" + unknown + tracks + clusters
