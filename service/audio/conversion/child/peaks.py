"""Operation ReadPeaks: the outline of a recording."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO

import av
from av.container import InputContainer

from service.audio.conversion.child.decoding import Unreadable, decode, open_audio, resample
from service.domain.media import MAX_POINTS, SILENCE_DBFS, Waveform

# The outline needs no higher rate, and this limit makes its cost independent of the input.
_MAX_RATE = 16_000
_WINDOWS_PER_S = 50
_PARTS_PER_WINDOW = 16
_SILENCE = int(32768 * 10 ** (SILENCE_DBFS / 20))


def read_peaks(file: IO[bytes], content_type: str) -> Waveform:
    """Returns the outline of the first audio stream of a file. Raises Unreadable."""
    with open_audio(file, content_type) as source:
        timeline = Timeline(source)
        outline = read_outline(timeline.watch(decode(source)))
        return outline.to_waveform(timeline.duration_ms)


def read_outline(frames: Iterator[av.AudioFrame]) -> "Outline":
    """Returns the outline of all frames. Raises Unreadable if there is none."""
    first = next(frames, None)
    if first is None:
        raise Unreadable
    rate = min(first.sample_rate, _MAX_RATE)
    outline = Outline(rate)
    for frame in resample(chain([first], frames), "s16", rate):
        outline.add(frame)
    return outline


class Timeline:
    """Length of the frames that pass through it."""

    def __init__(self, source: InputContainer) -> None:
        self._source = source
        self._length_s = 0.0
        self._frame_s = 0.0

    def watch(self, frames: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
        for frame in frames:
            length_s = frame.samples / frame.sample_rate
            self._length_s += length_s
            self._frame_s = max(self._frame_s, length_s)
            yield frame

    @property
    def duration_ms(self) -> int:
        """Length without the samples that an encoder adds to fill its last frame."""
        stream = self._source.streams.audio[0]
        declared_s = float((stream.duration or 0) * (stream.time_base or 0))
        is_padded = declared_s and 0 < self._length_s - declared_s <= 2 * self._frame_s
        return round((declared_s if is_padded else self._length_s) * 1000)


class Outline:
    """Lowest and highest samples of equal parts of a recording, and its silent windows of 20 ms.

    The length is unknown at first, so parts are joined in pairs each time they become too many.
    """

    def __init__(self, rate: int) -> None:
        self._part = max(rate // (_WINDOWS_PER_S * _PARTS_PER_WINDOW), 1)
        self._rest = b""
        self._lows: list[int] = []
        self._highs: list[int] = []
        self._joined, self._count = 1, 0
        self._windows, self._silent_windows = 0, 0

    def add(self, frame: av.AudioFrame) -> None:
        """Adds a frame of 16-bit mono samples."""
        samples = self._rest + bytes(memoryview(frame.planes[0])[: frame.samples * 2])
        size = self._part * _PARTS_PER_WINDOW * 2
        end = len(samples) - len(samples) % size
        for start in range(0, end, size):
            self._add_window(memoryview(samples)[start : start + size])
        self._rest = samples[end:]

    def to_waveform(self, duration_ms: int) -> Waveform:
        """Returns the outline. Raises Unreadable if there is no sample."""
        self._flush()
        if not self._lows:
            raise Unreadable
        peaks = array("b", chain.from_iterable(zip(self._lows, self._highs, strict=True)))
        return Waveform(duration_ms=duration_ms, peaks=peaks.tobytes())

    def silence_ratio(self) -> float:
        """Returns the part of the windows that are silent."""
        self._flush()
        return round(self._silent_windows / max(self._windows, 1), 3)

    def _flush(self) -> None:
        if self._rest:
            self._add_window(memoryview(self._rest))
            self._rest = b""

    def _add_window(self, window: memoryview) -> None:
        samples = window.cast("h").tolist()
        parts = [samples[at : at + self._part] for at in range(0, len(samples), self._part)]
        lows, highs = [min(part) for part in parts], [max(part) for part in parts]
        self._windows += 1
        self._silent_windows += min(lows) > -_SILENCE and max(highs) < _SILENCE
        self._append(lows, highs)

    def _append(self, lows: Iterable[int], highs: Iterable[int]) -> None:
        for low, high in zip(map(_to_byte, lows), map(_to_byte, highs), strict=True):
            if self._count % self._joined:
                self._lows[-1] = min(self._lows[-1], low)
                self._highs[-1] = max(self._highs[-1], high)
            else:
                if len(self._lows) == MAX_POINTS:
                    self._join_pairs()
                self._lows.append(low)
                self._highs.append(high)
            self._count += 1

    def _join_pairs(self) -> None:
        self._lows = list(map(min, self._lows[::2], self._lows[1::2]))
        self._highs = list(map(max, self._highs[::2], self._highs[1::2]))
        self._joined *= 2


def _to_byte(sample: int) -> int:
    return int(sample / 256)
