"""Facts and outlines that the child processes measure."""

import math
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.operations import Measure, Measured, ReadPeaks
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.domain.audio_errors import AudioUnreadable
from service.domain.media import MAX_POINTS, Waveform
from tests.support.audio_files import SOURCES, make_source, needs_ffmpeg
from tests.support.audio_samples import MEDIARECORDER_WEBM, PCM, a_mu_law_wav, a_wav, an_mp3, riff
from tests.support.conversion import file_of

RATE = 8000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool() -> AsyncIterator[ConversionPool]:
    async with ConversionPool.open(ConversionLimits(processes=1)) as opened:
        yield opened


async def measured(pool: ConversionPool, audio: bytes, content_type: str = "audio/wav") -> Measured:
    with file_of(audio) as file:
        return await pool.run(Measure(), [AudioInput(file, content_type)], owner="account")


def a_recording(*parts: tuple[float, float]) -> bytes:
    """A WAV of parts, each with an amplitude from 0 to 1 and a length in seconds."""
    samples = [
        int(32767 * amplitude * math.sin(2 * math.pi * 300 * number / RATE))
        for amplitude, seconds in parts
        for number in range(int(seconds * RATE))
    ]
    audio = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
    return riff(PCM, 16, RATE, audio)


@pytest.mark.parametrize(
    ("audio", "content_type", "expected"),
    [
        (a_wav(1.5), "audio/x-wav", (1500, "pcm_s16le", 8000, 1)),
        (a_mu_law_wav(2.0), "audio/wav", (2000, "pcm_mulaw", 8000, 1)),
        (an_mp3(), "audio/mpeg", (1008, "mp3", 16_000, 1)),
        (MEDIARECORDER_WEBM.read_bytes(), "audio/webm", (1005, "opus", 48_000, 1)),
    ],
)
async def test_a_recording_has_its_length_codec_rate_and_channels(
    pool: ConversionPool, audio: bytes, content_type: str, expected: tuple[int, str, int, int]
) -> None:
    facts = (await measured(pool, audio, content_type)).facts
    assert (facts.duration_ms, facts.codec, facts.sample_rate, facts.channels) == expected


@pytest.mark.long
@needs_ffmpeg
async def test_the_length_of_every_format_is_exact(pool: ConversionPool, tmp_path: Path) -> None:
    for name in SOURCES:
        audio = make_source(name, tmp_path, seconds=2.0).read_bytes()
        facts = (await measured(pool, audio, "application/octet-stream")).facts
        assert abs(facts.duration_ms - 2000) <= 50, (name, facts)


async def test_levels_are_those_of_the_samples(pool: ConversionPool) -> None:
    facts = (await measured(pool, a_recording((0.5, 6), (0, 2)))).facts
    assert facts.silence_ratio == 0.25
    assert facts.peak_dbfs == -6.0
    # ITU-R BS.1770: a sine of 997 Hz at full scale has -3.01 LUFS; the filter weakens 300 Hz.
    assert facts.loudness_lufs == pytest.approx(-3.0 - 6.0 - 0.7, abs=0.5)


async def test_silence_has_no_levels(pool: ConversionPool) -> None:
    facts = (await measured(pool, a_recording((0, 1)))).facts
    assert (facts.silence_ratio, facts.peak_dbfs, facts.loudness_lufs) == (1.0, None, None)


@pytest.mark.parametrize("seconds", [0.05, 3, 20])
async def test_an_outline_shows_where_a_recording_is_loud(
    pool: ConversionPool, seconds: float
) -> None:
    audio = a_recording((1.0, seconds / 2), (0.25, seconds / 2))
    result = await measured(pool, audio)
    with file_of(audio) as file:
        again = await pool.run(ReadPeaks(), [AudioInput(file, "audio/wav")], owner="account")
    assert again.waveform == result.waveform
    assert result.waveform.duration_ms == round(seconds * 1000)
    low_at_first, high_at_first = result.waveform.resample(10)[1]
    low_at_last, high_at_last = result.waveform.resample(10)[-2]
    assert (low_at_first, high_at_first) == (-127, 127)
    assert -33 <= low_at_last <= -30 <= 30 <= high_at_last <= 33
    assert len(result.waveform.resample(MAX_POINTS)) == MAX_POINTS


def test_points_cover_all_parts_of_an_outline() -> None:
    peaks = bytes(value for part in range(100) for value in (0, part))
    waveform = Waveform(duration_ms=1, peaks=peaks)
    for points in (1, 3, 7, 99, 100, 101, 1999):
        highs = [high for _, high in waveform.resample(points)]
        assert len(highs) == points
        assert highs[-1] == 99
        assert all(0 <= later - earlier <= 100 // points + 1 for earlier, later in pairwise(highs))
    assert Waveform(duration_ms=0, peaks=b"").resample(5) == []


@pytest.mark.parametrize("audio", [b"RIFF\0\0\0\0WAVE", b"\0" * 5000, a_recording()])
async def test_a_file_without_samples_is_unreadable(pool: ConversionPool, audio: bytes) -> None:
    with pytest.raises(AudioUnreadable):
        await measured(pool, audio)
