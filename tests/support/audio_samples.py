"""Audio samples: a tone as MP3, and tones as WAV in the codings of telephony."""

import array
import math
import struct
import sys
from pathlib import Path

TONE_MP3 = Path(__file__).with_name("tone.mp3")
"""One second of 440 Hz, mono, 16 kHz, 16 kbit/s."""

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


def riff(coding: int, bits: int, rate: int, audio: bytes, *, claimed: int | None = None) -> bytes:
    """A mono WAV; `claimed` is a wrong number of audio bytes in its header."""
    block = bits // 8
    shape = struct.pack("<HHIIHH", coding, 1, rate, rate * block, block, bits)
    size = len(audio) if claimed is None else claimed
    chunks = b"fmt " + struct.pack("<I", len(shape)) + shape + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(audio)) + b"WAVE" + chunks + audio


def _mu_law(sample: float) -> int:
    """One sample, from -1 to 1, by the formula of G.711 with mu = 255."""
    sign = 0x80 if sample >= 0 else 0x00
    level = math.log1p(255 * min(1.0, abs(sample))) / math.log1p(255)
    return sign | (0x7F - int(level * 0x7F))
