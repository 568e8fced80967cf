"""Operation Measure: facts about a recording, and its outline, in one pass."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import IO

import av
from av.filter import Graph

from service.audio.conversion.child.decoding import Unreadable, decode, open_audio, resample
from service.audio.conversion.child.peaks import Timeline, read_outline
from service.audio.conversion.operations import Measured
from service.domain.media import MediaFacts

# EBU R128 ignores blocks below this level, so it is the loudness of silence.
_ABSOLUTE_GATE_LUFS = -70.0
_LOUDNESS = ("ebur128", "metadata=1", "lavfi.r128.I")
_PEAK = (
    "astats",
    "metadata=1:measure_perchannel=none:measure_overall=Peak_level",
    "lavfi.astats.Overall.Peak_level",
)


def measure(file: IO[bytes], content_type: str) -> Measured:
    """Measures the first audio stream of a file. Raises Unreadable."""
    with open_audio(file, content_type) as source:
        timeline = Timeline(source)
        levels = Levels(timeline.watch(decode(source)))
        outline = read_outline(levels.frames())
        facts = MediaFacts(
            duration_ms=timeline.duration_ms,
            codec=source.streams.audio[0].codec.canonical_name,
            sample_rate=levels.sample_rate,
            channels=levels.channels,
            silence_ratio=outline.silence_ratio(),
            peak_dbfs=levels.peak_dbfs(),
            loudness_lufs=levels.loudness_lufs(),
        )
    return Measured(facts=facts, waveform=outline.to_waveform(facts.duration_ms))


class Levels:
    """Levels of the frames that pass through it. Raises Unreadable without a frame."""

    def __init__(self, frames: Iterator[av.AudioFrame]) -> None:
        first = next(frames, None)
        if first is None:
            raise Unreadable
        self.sample_rate, self.channels = first.sample_rate, first.layout.nb_channels
        # A stream can change its rate or its channels; the filters cannot.
        self._frames = resample(chain([first], frames), "flt", self.sample_rate, first.layout.name)
        self._loudness = _Meter(*_LOUDNESS, first)
        self._peak = _Meter(*_PEAK, first)

    def frames(self) -> Iterator[av.AudioFrame]:
        for frame in self._frames:
            self._loudness.add(frame)
            self._peak.add(frame)
            yield frame

    def peak_dbfs(self) -> float | None:
        """Returns None if all samples are 0."""
        peak = self._peak.finish()
        return None if peak is None else _rounded(min(peak, 0.0))

    def loudness_lufs(self) -> float | None:
        """Returns None for silence, and for less than the 400 ms that R128 needs."""
        loudness = self._loudness.finish()
        is_silent = loudness is None or loudness <= _ABSOLUTE_GATE_LUFS
        return None if loudness is None or is_silent else _rounded(loudness)


class _Meter:
    """FFmpeg filter that adds its result to the metadata of each frame under `key`."""

    def __init__(self, name: str, options: str, key: str, template: av.AudioFrame) -> None:
        self._key = key
        self._value: float | None = None
        self._graph = Graph()
        source = self._graph.add_abuffer(
            format="flt",
            sample_rate=template.sample_rate,
            layout=template.layout.name,
        )
        nodes = source, self._graph.add(name, options), self._graph.add("abuffersink")
        self._graph.link_nodes(*nodes).configure()

    def add(self, frame: av.AudioFrame | None) -> None:
        self._graph.push(frame)
        with suppress(av.BlockingIOError, av.EOFError):
            while True:
                text = self._graph.pull().metadata.get(self._key)
                self._value = self._value if text is None else float(text)

    def finish(self) -> float | None:
        """Returns the result over all frames, None if it is not a number."""
        self.add(None)
        value = self._value
        return value if value is not None and abs(value) < float("inf") else None


def _rounded(value: float) -> float:
    # Adds 0 because -0.0 would be shown.
    return round(value, 1) + 0.0
