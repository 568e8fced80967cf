"""Decoding of audio into frames of one format, one rate and one channel."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import IO, Any

import av
from av.container import InputContainer

from service.audio.formats import (
    AAC,
    AIFF,
    AMR,
    AU,
    FLAC,
    GSM,
    MP3,
    MP4,
    OGG,
    WAV,
    WEBM,
    AudioFormat,
    find_format,
)

_HEAD_BYTES = 4096
_DEMUXERS: dict[AudioFormat, str] = {
    WAV: "wav",
    MP3: "mp3",
    OGG: "ogg",
    MP4: "mp4",
    WEBM: "matroska",
    AAC: "aac",
    FLAC: "flac",
    AMR: "amr",
    AU: "au",
    AIFF: "aiff",
    GSM: "gsm",
}
# A file of a few bytes must not make the demuxer search for long.
_OPTIONS = {"protocol_whitelist": "none", "probesize": "1000000", "analyzeduration": "5000000"}


class Unreadable(Exception):
    """The input has no audio that can be decoded."""


@contextmanager
def open_audio(file: IO[bytes], content_type: str) -> Iterator[InputContainer]:
    """Opens a file with the demuxer of its bytes, or of its content type. Raises Unreadable."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    kind = find_format(head, content_type)
    if kind is None:
        raise Unreadable
    with av.open(
        file,
        format=_DEMUXERS[kind],
        container_options=_OPTIONS,
        metadata_errors="replace",
        io_open=_refuse_file,
    ) as container:
        assert isinstance(container, InputContainer)
        yield container


def decode(container: InputContainer) -> Iterator[av.AudioFrame]:
    """Yields the frames of the first audio stream. Skips packets that cannot be decoded."""
    if not container.streams.audio:
        raise Unreadable
    stream = container.streams.audio[0]
    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    while True:
        try:
            for frame in next(packets).decode():
                assert isinstance(frame, av.AudioFrame)
                yield frame
        except (StopIteration, av.EOFError):
            return
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise


def resample(
    frames: Iterator[av.AudioFrame], sample_format: str, rate: int, layout: str = "mono"
) -> Iterator[av.AudioFrame]:
    """Yields frames of one format, rate and layout. The frames of the input may differ in these.

    The time of a frame is the number of samples before it: gaps in the input are not filled.
    """
    resampler, shape, position = None, None, 0
    for frame in frames:
        current = (frame.format.name, frame.layout.name, frame.sample_rate)
        converted: list[av.AudioFrame] = []
        if resampler is None or current != shape:
            converted += resampler.resample(None) if resampler else []
            resampler, shape = av.AudioResampler(sample_format, layout, rate), current
        frame.pts = None
        converted += resampler.resample(frame)
        for item in converted:
            yield _set_time(item, position, rate)
            position += item.samples
    for item in resampler.resample(None) if resampler else ():
        yield _set_time(item, position, rate)
        position += item.samples


def _set_time(frame: av.AudioFrame, position: int, rate: int) -> av.AudioFrame:
    frame.pts, frame.time_base = position, Fraction(1, rate)
    return frame


def _refuse_file(*_: Any) -> Any:
    # A container may name other files.
    raise PermissionError
