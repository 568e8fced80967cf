import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.formats import (
    ACCEPTED_TYPES,
    MAX_LENGTH_MS,
    extension_of,
    is_accepted,
    measure_ms,
)
from service.audio.spool import Spool
from tests.support.audio_samples import MU_LAW, PCM, a_mu_law_wav, a_wav, an_mp3, riff


async def measured(audio: bytes) -> int | None:
    with Spool(8_000_000) as spool:
        await spool.write(audio)
        return measure_ms(spool)


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        ("audio/mpeg", "mp3"),
        ("audio/mp3", "mp3"),
        ("audio/wav", "wav"),
        ("audio/x-wav", "wav"),
        ("audio/ogg", "ogg"),
        ("audio/mp4", "mp4"),
        ("application/octet-stream", "bin"),
        ("Audio/MPEG; rate=8000", "mp3"),
    ],
)
def test_each_accepted_type_has_an_extension(content_type: str, extension: str) -> None:
    assert is_accepted(content_type)
    assert extension_of(content_type) == extension


@pytest.mark.parametrize("content_type", ["", "text/plain", "audio", "audio/", "audio/mpeg3", ";"])
def test_other_types_are_not_accepted(content_type: str) -> None:
    assert content_type not in ACCEPTED_TYPES
    assert not is_accepted(content_type)


async def test_an_mp3_is_measured() -> None:
    length = await measured(an_mp3())
    assert length is not None
    assert 950 <= length <= 1100


@pytest.mark.parametrize("seconds", [0.1, 1.0, 7.25])
async def test_an_eight_kilohertz_wav_is_measured_to_the_millisecond(seconds: float) -> None:
    assert await measured(a_wav(seconds)) == round(seconds * 1000)


async def test_a_mu_law_wav_is_measured() -> None:
    assert await measured(a_mu_law_wav(2.5)) == 2500


async def test_a_recording_in_a_file_is_measured() -> None:
    assert await measured(riff(PCM, 16, 8000, bytes(16_000 * 100))) == 100_000


async def test_a_wav_without_sizes_is_measured_by_its_bytes() -> None:
    assert await measured(riff(PCM, 16, 8000, bytes(16_000), claimed=0xFFFFFFFF)) == 1000


async def test_the_minimum_length_is_one_millisecond() -> None:
    assert await measured(riff(MU_LAW, 8, 192_000, b"\xff")) == 1


@pytest.mark.parametrize(
    "audio",
    [
        b"",
        b"not audio at all",
        bytes(100_000),
        b"RIFF",
        a_wav()[:20],
        riff(PCM, 16, 8000, b""),
        riff(PCM, 0, 0, bytes(100)),
        riff(PCM, 8, 1, bytes(100_000)),
    ],
)
async def test_a_recording_that_cannot_be_measured_has_no_length(audio: bytes) -> None:
    assert await measured(audio) is None


@pytest.mark.parametrize(
    "audio",
    [
        b"\xff\xfb" * 4_000_000,
        b"\xff\xfb\x10\x00" + b"\xff" * 7_999_996,
        (b"OggS" + bytes(22) + b"\x01\x01\x00") * 275_000,
        b"RIFF\x00\x00\x00\x00WAVE" + b"junk\x00\x00\x00\x00" * 900_000,
        b"\x00\x00\x00\x08ftypM4A " + b"\x00\x00\x00\x08moov" * 900_000,
        b"ID3\x03\x00\x00\x7f\x7f\x7f\x7f" + b"TIT2\x00\x00\x00\x01\x00\x00a" * 700_000,
    ],
)
async def test_a_file_that_keeps_the_parser_busy_is_abandoned_soon(audio: bytes) -> None:
    started = time.process_time()
    await measured(audio)
    assert time.process_time() - started < 2.0


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from(
        [b"", an_mp3()[:300], a_wav(0.01), b"OggS\x00\x02", b"ID3\x04\x00\x00", b"fLaC", b"FORM"]
    ),
    rest=st.binary(max_size=400),
)
async def test_measuring_never_raises(start: bytes, rest: bytes) -> None:
    length = await measured(start + rest)
    assert length is None or 1 <= length <= MAX_LENGTH_MS
