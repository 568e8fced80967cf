"""Audio files of Asterisk: the choice between the formats of a message, and raw formats."""

import struct
from collections.abc import Iterable

import msgspec


class RawFormat(msgspec.Struct, frozen=True):
    """Audio without a header. `coding` is the format code of WAV; one channel."""

    coding: int
    rate: int
    bits: int

    def wav_header(self, size: int) -> bytes:
        """Returns the header of a WAV file with `size` bytes of this audio."""
        block = self.bits // 8
        form = struct.pack(
            "<HHIIHH", self.coding, 1, self.rate, self.rate * block, block, self.bits
        )
        chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
        padded = size + size % 2
        return (
            b"RIFF" + struct.pack("<I", len(chunks) + 4 + padded) + chunks + struct.pack("<I", size)
        )


def _linear(rate: int) -> RawFormat:
    return RawFormat(1, rate, 16)


_ULAW, _ALAW = RawFormat(7, 8000, 8), RawFormat(6, 8000, 8)
RAW_FORMATS = {
    "sln192": _linear(192_000),
    "sln96": _linear(96_000),
    "sln48": _linear(48_000),
    "sln44": _linear(44_100),
    "sln32": _linear(32_000),
    "sln24": _linear(24_000),
    "sln16": _linear(16_000),
    "sln12": _linear(12_000),
    "sln": _linear(8000),
    "raw": _linear(8000),
    **dict.fromkeys(("ulaw", "ul", "mu", "ulw", "pcm"), _ULAW),
    **dict.fromkeys(("alaw", "al", "alw"), _ALAW),
}
# Best sound first. `WAV` in capitals is GSM in a WAV file (wav49).
_PREFERENCE = (
    "wav16", "wav", "flac", *RAW_FORMATS, "au", "ogg", "opus", "mp3", "WAV", "wav49", "gsm",
    # These can be stored and downloaded, but browsers do not play them.
    "g722", "siren14", "siren7", "ilbc", "g719", "g726-40", "g726-32", "g726-24", "g726-16",
    "g729", "g723", "g723sf",
)  # fmt: skip
_RANKS = {extension: rank for rank, extension in enumerate(_PREFERENCE)}


def is_audio(extension: str) -> bool:
    return extension in _RANKS


def best_first(extensions: Iterable[str]) -> list[str]:
    """Returns the extensions of a recording in several formats, the best sound first."""
    return sorted(extensions, key=lambda extension: _RANKS[extension])
