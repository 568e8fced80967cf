"""Type, extension and length of an upload, from its bytes."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.audio.formats import ACCEPTED_TYPES, is_accepted
from service.audio.inspection import MAX_LENGTH_MS, Inspection, inspect
from service.audio.spool import Spool
from service.domain.audio_errors import AudioEmpty, NotAudio
from tests.support.audio_samples import (
    MEDIARECORDER_WEBM,
    MU_LAW,
    PCM,
    a_mu_law_wav,
    a_wav,
    a_webm,
    adts_frames,
    an_mp3,
    an_mp4,
    an_opus,
    box,
    mp3_frames,
    ogg_page,
    rf64,
    riff,
)

GENERIC = "application/octet-stream"
UNKNOWN = b"\0\x01\x02 bytes of no format"
FLAC = b"fLaC\0\0\0\x22" + bytes(34)
AMR = b"#!AMR\n" + bytes(32)
AU = b".snd\0\0\0\x18" + bytes(40)
AIFF = b"FORM\0\0\0\x20AIFF" + bytes(32)


async def inspected(
    audio: bytes, content_type: str = GENERIC, name: str | None = None
) -> Inspection:
    with Spool(8_000_000) as spool:
        for start in range(0, len(audio), 65_536):
            await spool.write(audio[start : start + 65_536])
        return await inspect(spool, content_type, name)


async def measured(audio: bytes, content_type: str = GENERIC) -> int:
    return (await inspected(audio, content_type)).length_ms


@pytest.mark.parametrize(
    ("declared", "stored", "extension"),
    [
        ("audio/mpeg", "audio/mpeg", "mp3"),
        ("audio/mp3", "audio/mp3", "mp3"),
        ("audio/mpeg3", "audio/mpeg", "mp3"),
        ("audio/wav", "audio/wav", "wav"),
        ("audio/x-wav", "audio/x-wav", "wav"),
        ("audio/x-wave", "audio/wav", "wav"),
        ("audio/vnd.wave", "audio/wav", "wav"),
        ("audio/ogg", "audio/ogg", "ogg"),
        ("application/ogg", "audio/ogg", "ogg"),
        ("audio/mp4", "audio/mp4", "mp4"),
        ("video/mp4", "audio/mp4", "mp4"),
        ("audio/x-m4a", "audio/mp4", "m4a"),
        ("audio/webm", "audio/webm", "webm"),
        ("video/webm", "audio/webm", "webm"),
        ("audio/aac", "audio/aac", "aac"),
        (GENERIC, GENERIC, "bin"),
        ("Audio/MPEG; rate=8000", "audio/mpeg", "mp3"),
    ],
)
async def test_a_declared_type_decides_for_bytes_of_an_unknown_format(
    declared: str, stored: str, extension: str
) -> None:
    assert is_accepted(declared)
    result = await inspected(UNKNOWN, declared)
    assert (result.content_type, result.extension, result.length_ms) == (stored, extension, 1)


@pytest.mark.parametrize("content_type", ["", "text/plain", "audio", "audio/", "audio/midi", ";"])
def test_other_types_are_not_accepted(content_type: str) -> None:
    assert content_type not in ACCEPTED_TYPES
    assert not is_accepted(content_type)


@pytest.mark.parametrize(
    ("audio", "name", "content_type", "extension"),
    [
        (a_wav(), None, "audio/wav", "wav"),
        (rf64(8000, bytes(100)), None, "audio/wav", "wav"),
        (rf64(8000, bytes(100), b"BW64"), None, "audio/wav", "wav"),
        (an_mp3(), None, "audio/mpeg", "mp3"),
        (mp3_frames(9), None, "audio/mpeg", "mp3"),
        (b"ID3 sound", None, "audio/mpeg", "mp3"),
        (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + adts_frames(9), None, "audio/aac", "aac"),
        (adts_frames(9), None, "audio/aac", "aac"),
        (an_opus(1), None, "audio/ogg", "ogg"),
        (an_opus(1), "voice.OPUS", "audio/ogg", "opus"),
        (an_opus(1), "voice.wav", "audio/ogg", "ogg"),
        (an_mp4(1), None, "audio/mp4", "mp4"),
        (an_mp4(1), "voice.m4a", "audio/mp4", "m4a"),
        (an_mp4(1, brand=b"M4A "), None, "audio/mp4", "m4a"),
        (MEDIARECORDER_WEBM.read_bytes(), None, "audio/webm", "webm"),
        (FLAC, None, "audio/flac", "flac"),
        (AMR, None, "audio/amr", "amr"),
        (AU, None, "audio/basic", "au"),
        (AIFF, None, "audio/aiff", "aiff"),
        (UNKNOWN, "voice.gsm", "audio/x-gsm", "gsm"),
        (UNKNOWN, "../voice.MP3", "audio/mpeg", "mp3"),
        (UNKNOWN, "voice.exe", GENERIC, "bin"),
        (UNKNOWN, "wav", GENERIC, "bin"),
    ],
)
async def test_a_sender_need_not_know_the_type(
    audio: bytes, name: str | None, content_type: str, extension: str
) -> None:
    result = await inspected(audio, GENERIC, name)
    assert (result.content_type, result.extension) == (content_type, extension)


@pytest.mark.parametrize(
    ("declared", "stored"),
    [
        ("audio/mpeg", "audio/wav"),
        ("audio/ogg", "audio/wav"),
        ("video/mp4", "audio/wav"),
        ("audio/x-wav", "audio/x-wav"),
        ("audio/x-wave", "audio/wav"),
    ],
)
async def test_the_bytes_correct_a_wrong_type(declared: str, stored: str) -> None:
    result = await inspected(a_wav(), declared, "voice.mp3")
    assert (result.content_type, result.extension, result.length_ms) == (stored, "wav", 1000)


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html>",
        b"\n <HTML lang=x>\xff\xfe",
        b"\xef\xbb\xbf<?xml version='1.0'?>",
        b"PK\x03\x04" + bytes(100),
        b"\x1f\x8b\x08" + bytes(100),
        b"%PDF-1.7\n%\xe2\xe3",
        b"MZ\x90\0" + bytes(100) + b"PE\0\0",
        b"BZh91AY&SY" + bytes(100),
        b"\x7fELF\x02" + bytes(100),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff\xd8\xff\xe0" + bytes(100),
        b"RIFF\0\0\0\0AVI LIST" + bytes(100),
        b"\0\0\0\x18ftypheic" + bytes(100),
        bytes(257) + b"ustar",
        b"#!/bin/sh\nexit 0\n",
        b"just text",
        b'{"data": {}}',
        "Gr\u00fc\u00dfe aus K\u00f6ln".encode(),
        ("abcdefg" + "x" * 4088 + "\u00fc").encode(),
        "plain text".encode("utf-16"),
        an_mp4(1, kind=b"vide"),
        a_webm(1, track_type=1),
        ogg_page(b"\x80theora" + bytes(40), 0, first=True),
    ],
)
@pytest.mark.parametrize("declared", [GENERIC, "audio/mpeg", "video/mp4"])
async def test_bytes_that_are_not_audio_are_refused(content: bytes, declared: str) -> None:
    with pytest.raises(NotAudio):
        await inspected(content, declared, "voice.wav")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        a_wav()[:44],
        a_wav()[:20],
        riff(PCM, 16, 8000, b"", claimed=0xFFFFFFFF),
        riff(PCM, 16, 8000, b"") + b"LIST\x04\0\0\0INFO",
        a_webm(0),
        an_opus(0),
        box(b"ftyp", b"isom"),
        b"ID3\x04\0\0\0\0\0\x0a" + bytes(10),
    ],
)
async def test_a_header_without_audio_is_an_empty_file(content: bytes) -> None:
    with pytest.raises(AudioEmpty):
        await inspected(content)


async def test_an_mp3_is_measured() -> None:
    assert 950 <= await measured(an_mp3()) <= 1100


@pytest.mark.parametrize("seconds", [0.1, 1.0, 7.25])
async def test_an_eight_kilohertz_wav_is_measured_to_the_millisecond(seconds: float) -> None:
    assert await measured(a_wav(seconds)) == round(seconds * 1000)


GSM = b"fmt " + bytes.fromhex("14000000 3100 0100 401f0000 59060000 4100 0000 0200 4001")


@pytest.mark.parametrize(
    ("audio", "length"),
    [
        (a_mu_law_wav(2.5), 2500),
        # In a file, because it is large.
        (riff(PCM, 16, 8000, bytes(16_000 * 100)), 100_000),
        (riff(PCM, 16, 8000, bytes(16_000), claimed=0xFFFFFFFF), 1000),
        (riff(PCM, 16, 8000, bytes(16_000), claimed=0x7FFFFFFF), 1000),
        (riff(PCM, 16, 8000, bytes(16_000), claimed=0), 1000),
        (riff(PCM, 16, 8000, b"\x7f\x01" * 8000, claimed=2), 1000),
        (riff(PCM, 16, 8000, bytes(16_000)) + b"LIST\x04\0\0\0INFO", 1000),
        (riff(PCM, 16, 8000, bytes(16_000), byte_rate=8000), 1000),
        (riff(PCM, 16, 8000, bytes(16_000), byte_rate=0), 1000),
        (riff(PCM, 16, 8000, bytes(16_000), byte_rate=0xFFFFFFFF), 1000),
        # mu-law with the sample size of PCM.
        (a_mu_law_wav(1).replace(b"\x01\0\x08\0data", b"\x02\0\x10\0data"), 1000),
        (b"RIFF\xff\xff\xff\xffWAVE" + GSM + b"data\0\0\0\0" + bytes(1625), 1000),
        (rf64(8000, bytes(16_000)), 1000),
        (rf64(8000, bytes(16_000), b"BW64"), 1000),
        (mp3_frames(1000), 24_000),
        (mp3_frames(1000, info_frames=10), 24_000),
        (mp3_frames(500, info_frames=500) + mp3_frames(500, info_frames=500), 24_024),
        (mp3_frames(100) + b"TAG" + bytes(125), 2400),
        (adts_frames(100), 6400),
        (adts_frames(100)[:-1], 6336),
        (b"".join(adts_frames(1, 32 + i % 9) for i in range(3000)), 192_000),
        (an_mp4(5), 5000),
        (an_mp4(60, fragments=6), 60_000),
        (an_opus(600), 600_000),
        (an_opus(2) + an_opus(3).replace(b"\x07\0\0\0", b"\x08\0\0\0"), 5000),
        (a_webm(3), 3000),
        (a_webm(3)[:-2], 2980),
        (MEDIARECORDER_WEBM.read_bytes(), 1008),
    ],
)
async def test_the_length_is_that_of_the_audio_present(audio: bytes, length: int) -> None:
    assert await measured(audio) == length


async def test_the_minimum_length_is_one_millisecond() -> None:
    assert await measured(riff(MU_LAW, 8, 192_000, b"\xff")) == 1


@pytest.mark.parametrize(
    "audio",
    [
        UNKNOWN,
        bytes(100_000),
        b"RIFF",
        riff(PCM, 0, 0, bytes(100)),
        riff(PCM, 8, 1, bytes(100_000)),
        # A progressive file that was cut off.
        an_mp4(5)[:-1],
        # Headers that claim more than the bytes can contain.
        ogg_page(b"OpusHead\x01\x01" + bytes(9), 0, first=True) + ogg_page(b"x", 48_000 * 9),
        an_mp4(60, fragments=1).replace(bytes(40 * 600), bytes(40)),
    ],
)
async def test_a_recording_that_cannot_be_measured_has_the_length_one(audio: bytes) -> None:
    assert await measured(audio, "audio/mpeg") == 1


class CountingSpool(Spool):
    """Counts the bytes that are read."""

    bytes_read = 0

    def read_at(self, position: int, length: int) -> bytes:
        block = super().read_at(position, length)
        self.bytes_read += len(block)
        return block


@pytest.mark.parametrize(
    "audio",
    [
        b"\xff\xfb" * 1_000_000,
        b"\xff\xfb\x10\x00" + b"\xff" * 2_000_000,
        mp3_frames(80_000),
        adts_frames(10) + b"\xff\xf1" * 900_000,
        ogg_page(b"OpusHead\x01\x01" + bytes(9), 0, first=True)
        + (b"OggS" + bytes(22) + b"\x01\x01\x00") * 70_000,
        b"RIFF\x00\x00\x00\x00WAVE" + b"junk\x00\x00\x00\x00" * 200_000,
        b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x08moov" * 250_000,
        b"\x00\x00\x00\x08ftyp" + b"\x7f\xff\xff\xffmoov" * 200_000,
        a_webm(1) + b"\xec\x80" * 900_000,
        b"ID3\x03\x00\x00\x7f\x7f\x7f\x7f" + b"TIT2\x00\x00\x00\x01\x00\x00a" * 200_000,
        b"fLaC" + b"\x04\x00\x00\x00" * 500_000,
        b"FORM\0\0\0\x20AIFF" + b"JUNK\0\0\0\0" * 200_000,
    ],
)
async def test_a_hostile_file_is_read_at_most_once(audio: bytes) -> None:
    with CountingSpool(8_000_000) as spool:
        await spool.write(audio)
        with suppress(AudioEmpty):
            await inspect(spool, "audio/mpeg")
        assert spool.bytes_read <= spool.size


@given(
    start=st.sampled_from(
        [
            b"",
            an_mp3()[:300],
            a_wav(0.01),
            rf64(8000, b"")[:60],
            an_opus(1)[:120],
            adts_frames(2),
            an_mp4(1, fragments=1)[:250],
            a_webm(1)[:90],
            b"ID3\x04\x00\x00",
            b"fLaC",
            b"FORM\0\0\0\x20AIFF",
        ]
    ),
    rest=st.binary(max_size=400),
)
async def test_an_inspection_ends_with_a_length_or_a_refusal(start: bytes, rest: bytes) -> None:
    try:
        result = await inspected(start + rest)
    except (AudioEmpty, NotAudio):
        return
    assert 1 <= result.length_ms <= MAX_LENGTH_MS
