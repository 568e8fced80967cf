"""Conversion of every accepted format into every rendition."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.operations import Measure
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.audio.inspection import inspect
from service.audio.spool import Spool
from service.domain.rendition import RenditionFormat
from tests.support.audio_files import SOURCES, decoded_ms, make_source, needs_ffmpeg, stream_of
from tests.support.audio_samples import MEDIARECORDER_WEBM, PCM, a_mu_law_wav, an_mp3, riff
from tests.support.conversion import convert, file_of

TOLERANCE_MS = 50
CODECS = {
    RenditionFormat.MP3: ("mp3", 16_000),
    RenditionFormat.WAV: ("pcm_s16le", 8_000),
    RenditionFormat.WAV_16K: ("pcm_s16le", 16_000),
    RenditionFormat.MU_LAW: ("pcm_mulaw", 8_000),
    RenditionFormat.A_LAW: ("pcm_alaw", 8_000),
    RenditionFormat.OPUS: ("opus", 48_000),
    RenditionFormat.M4A: ("aac", 16_000),
}
FIELD = {
    "mulaw": (a_mu_law_wav(2.0), 2000),
    "unfinished": (riff(PCM, 16, 8000, bytes(16_000), claimed=0), 1000),
    "wrong byte rate": (riff(PCM, 16, 8000, bytes(16_000), byte_rate=1), 1000),
    "mp3": (an_mp3(), 1008),
    "browser": (MEDIARECORDER_WEBM.read_bytes(), 1006),
}
"""Recordings of phones and browsers, with their durations."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool() -> AsyncIterator[ConversionPool]:
    async with ConversionPool.open(ConversionLimits()) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.mark.parametrize("name", FIELD)
async def test_recordings_of_phones_and_browsers_are_converted(
    pool: ConversionPool, name: str
) -> None:
    content, expected_ms = FIELD[name]
    for target, (codec, rate) in CODECS.items():
        _, output = await convert(pool, content, target)
        with file_of(output) as file:
            source = AudioInput(file, target.content_type)
            facts = (await pool.run(Measure(), [source], owner="account")).facts
        assert facts.codec.startswith(codec), target
        assert (facts.sample_rate, facts.channels) == (rate, 1), target
        assert abs(facts.duration_ms - expected_ms) <= TOLERANCE_MS, target


@pytest.mark.long
@needs_ffmpeg
@pytest.mark.parametrize("name", SOURCES)
async def test_ffmpeg_decodes_every_rendition_of_every_format(
    pool: ConversionPool, folder: Path, name: str
) -> None:
    source = make_source(name, folder, seconds=3.3)
    content, expected_ms = source.read_bytes(), decoded_ms(source)
    assert expected_ms == pytest.approx(3300, abs=150)
    with Spool(len(content)) as spool:
        await spool.write(content)
        stored_type = (await inspect(spool, "application/octet-stream")).content_type
    for target, expected in CODECS.items():
        _, output = await convert(pool, content, target, content_type=stored_type)
        file = folder / f"{name}.{target}.{target.extension}"
        file.write_bytes(output)
        assert stream_of(file) == expected, target
        assert decoded_ms(file) == pytest.approx(expected_ms, abs=TOLERANCE_MS), target
