"""Formats into which stored audio is converted."""

from enum import StrEnum

import msgspec


class RenditionEncoding(msgspec.Struct, frozen=True, kw_only=True):
    """Encoding of a rendition, which is always mono. `bit_rate` is 0 for formats without one."""

    content_type: str
    extension: str
    codec: str
    sample_rate: int
    bit_rate: int = 0


class RenditionFormat(StrEnum):
    """Format of a rendition. The value is its name in `?format=` and in settings."""

    MP3 = "mp3"
    WAV = "wav"
    WAV_16K = "wav16k"
    MU_LAW = "mulaw"
    A_LAW = "alaw"
    OPUS = "opus"
    M4A = "m4a"

    @property
    def encoding(self) -> RenditionEncoding:
        return _ENCODINGS[self]

    @property
    def content_type(self) -> str:
        return self.encoding.content_type

    @property
    def extension(self) -> str:
        return self.encoding.extension

    @property
    def types(self) -> tuple[str, ...]:
        """Media types that select the format, the content type first."""
        return _TYPES[self.content_type]


def _wav(codec: str, sample_rate: int = 8000) -> RenditionEncoding:
    return RenditionEncoding(
        content_type="audio/wav", extension="wav", codec=codec, sample_rate=sample_rate
    )


_TYPES = {
    "audio/mpeg": ("audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/x-mpeg", "audio/mpeg3"),
    "audio/wav": ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav"),
    "audio/ogg": ("audio/ogg", "audio/opus", "audio/x-ogg", "application/ogg"),
    "audio/mp4": ("audio/mp4", "audio/m4a", "audio/x-m4a"),
}

# Telephone speech has at most 7 kHz, so compressed formats have 16 kHz. Opus supports only 48 kHz.
_ENCODINGS = {
    RenditionFormat.MP3: RenditionEncoding(
        content_type="audio/mpeg",
        extension="mp3",
        codec="libmp3lame",
        sample_rate=16_000,
        bit_rate=32_000,
    ),
    RenditionFormat.WAV: _wav("pcm_s16le"),
    RenditionFormat.WAV_16K: _wav("pcm_s16le", 16_000),
    RenditionFormat.MU_LAW: _wav("pcm_mulaw"),
    RenditionFormat.A_LAW: _wav("pcm_alaw"),
    RenditionFormat.OPUS: RenditionEncoding(
        content_type="audio/ogg",
        extension="opus",
        codec="libopus",
        sample_rate=48_000,
        bit_rate=24_000,
    ),
    RenditionFormat.M4A: RenditionEncoding(
        content_type="audio/mp4",
        extension="m4a",
        codec="aac",
        sample_rate=16_000,
        bit_rate=32_000,
    ),
}
