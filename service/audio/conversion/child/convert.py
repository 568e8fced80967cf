"""Operation Convert: decodes an input and encodes it into the format of a rendition."""

from collections.abc import Iterator
from typing import IO

import av
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer

from service.audio.conversion.child.decoding import Unreadable, decode, open_audio, resample
from service.audio.conversion.operations import Converted
from service.domain.rendition import RenditionFormat

_MUXERS = {
    RenditionFormat.MP3: "mp3",
    RenditionFormat.OPUS: "ogg",
    RenditionFormat.M4A: "ipod",
}
# The same input gives the same bytes, in each process.
_OPTIONS = {"fflags": "+bitexact"}


def convert(
    file: IO[bytes], content_type: str, target: RenditionFormat, output: IO[bytes]
) -> Converted:
    """Writes the first audio stream of a file as `target`. Raises Unreadable."""
    with open_audio(file, content_type) as source:
        return encode(decode(source), target, output)


def encode(
    frames: Iterator[av.AudioFrame], target: RenditionFormat, output: IO[bytes]
) -> Converted:
    """Writes frames of any formats as `target`. Raises Unreadable if there are none."""
    rate = target.encoding.sample_rate
    samples = 0
    with open_output(output, target) as sink:
        stream = add_stream(sink, target)
        for frame in resample(frames, stream.format.name, rate):
            samples += frame.samples
            sink.mux(stream.encode(frame))
        if not samples:
            raise Unreadable
        sink.mux(stream.encode(None))
    return Converted(length_ms=max(round(samples * 1000 / rate), 1), size=output.seek(0, 2))


def open_output(output: IO[bytes], target: RenditionFormat) -> OutputContainer:
    """Opens the container of a rendition."""
    muxer = _MUXERS.get(target, "wav")
    return av.open(output, "w", format=muxer, container_options=_OPTIONS)


def add_stream(sink: OutputContainer, target: RenditionFormat) -> AudioStream:
    """Adds the only stream of a rendition."""
    encoding = target.encoding
    stream = sink.add_stream(encoding.codec, rate=encoding.sample_rate)
    assert isinstance(stream, AudioStream)
    stream.layout = "mono"
    stream.codec_context.thread_count = 1
    if encoding.bit_rate:
        stream.bit_rate = encoding.bit_rate
    stream.codec_context.flags |= Flags.bitexact
    return stream
