"""Recordings in every format that is accepted, made with ffmpeg and PyAV, and their properties."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import av
import pytest
from av.audio.stream import AudioStream

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="the program `ffmpeg` is not installed"
)
_RATE = 48_000

# The name of the file and the arguments of its encoder. Rates are those of telephony and browsers.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "pcm.wav": ("-c:a", "pcm_s16le"),
    "wide.wav": ("-c:a", "pcm_s24le", "-ar", "44100", "-ac", "2"),
    "mulaw.wav": ("-c:a", "pcm_mulaw"),
    "alaw.wav": ("-c:a", "pcm_alaw"),
    "gsm.wav": ("-c:a", "gsm_ms"),
    "adpcm_ms.wav": ("-c:a", "adpcm_ms"),
    "adpcm_ima.wav": ("-c:a", "adpcm_ima_wav"),
    "rf64.wav": ("-c:a", "pcm_s16le", "-rf64", "always"),
    "mpeg.mp3": ("-c:a", "libmp3lame", "-ar", "44100"),
    "aac.m4a": ("-c:a", "aac", "-ar", "44100"),
    "fragmented.mp4": (
        *("-c:a", "aac", "-ar", "44100"),
        *("-movflags", "frag_keyframe+empty_moov+default_base_moof"),
    ),
    "adts.aac": ("-c:a", "aac", "-ar", "44100"),
    "opus.ogg": ("-c:a", "libopus"),
    "vorbis.ogg": ("-c:a", "libvorbis", "-ar", "44100"),
    "speex.ogg": ("-c:a", "libspeex"),
    "opus.webm": ("-c:a", "libopus"),
    "vorbis.webm": ("-c:a", "libvorbis", "-ar", "44100"),
    "flac.flac": ("-c:a", "flac"),
    "pcm.aiff": ("-c:a", "pcm_s16be"),
    "mulaw.au": ("-c:a", "pcm_mulaw"),
    "narrow.amr": (),
}


def make_source(name: str, folder: Path, seconds: float) -> Path:
    """Writes a tone in the format `name`."""
    tone, file = folder / "tone.wav", folder / name
    if not tone.exists():
        _ffmpeg("-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}:r=8000", str(tone))
    if name == "narrow.amr":
        _encode_amr(tone, file)
    else:
        _ffmpeg("-i", str(tone), *SOURCES[name], str(file))
    return file


def decoded_ms(file: Path) -> float:
    """The duration of the audio that ffmpeg decodes."""
    arguments = ("-f", "s16le", "-ac", "1", "-ar", str(_RATE), "-")
    output = _run("ffmpeg", "-v", "error", "-i", str(file), *arguments)
    return len(output) / 2 * 1000 / _RATE


def stream_of(file: Path) -> tuple[str, int]:
    """The codec and the sample rate that ffprobe finds."""
    entries = ("-show_entries", "stream=codec_name,sample_rate", "-of", "json")
    stream = json.loads(_run("ffprobe", "-v", "error", *entries, str(file)))["streams"][0]
    return stream["codec_name"], int(stream["sample_rate"])


def _encode_amr(tone: Path, file: Path) -> None:
    # Debian's ffmpeg decodes AMR only.
    with av.open(tone) as source, av.open(file, "w", format="amr") as sink:
        stream = sink.add_stream("libopencore_amrnb", rate=8000)
        assert isinstance(stream, AudioStream)
        stream.layout, stream.bit_rate = "mono", 12_200
        for frame in source.decode(audio=0):
            frame.pts = None
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))


def _ffmpeg(*arguments: str) -> None:
    _run("ffmpeg", "-v", "error", "-y", *arguments)


def _run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=300).stdout  # noqa: S603
