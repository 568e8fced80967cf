"""Facts about the audio of a message, and its waveform. Both are measured by decoding it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

MAX_POINTS = 2000
"""Maximum number of points of a waveform."""
SILENCE_DBFS = -40.0
"""Level below which a part of a recording counts as silence."""
_MAX_INTEGER = 2**31 - 1


class MediaFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about the audio of a message, measured by decoding it."""

    duration_ms: Annotated[
        int, Meta(ge=0, le=_MAX_INTEGER, description="Milliseconds of decoded audio")
    ]
    codec: Annotated[
        str, Meta(max_length=64, description="The name of the codec in FFmpeg, such as `gsm_ms`")
    ]
    sample_rate: Annotated[int, Meta(ge=1, le=_MAX_INTEGER, description="Samples per second")]
    channels: Annotated[int, Meta(ge=1, le=_MAX_INTEGER, description="1 for mono")]
    silence_ratio: Annotated[
        float, Meta(ge=0, le=1, description="The part of the time with a level below -40 dBFS")
    ]
    peak_dbfs: Annotated[
        float | None, Meta(description="The highest sample, in dBFS; null if all samples are 0")
    ]
    loudness_lufs: Annotated[
        float | None,
        Meta(description="Integrated loudness by EBU R128, in LUFS; null below -70 LUFS"),
    ]


class Waveform(msgspec.Struct, frozen=True, kw_only=True):
    """Outline of a recording: equal parts of its time, each with its lowest and highest sample.

    `peaks` has two signed bytes per part: the lowest sample, then the highest; full scale is 128.
    """

    duration_ms: Annotated[int, Meta(ge=0, le=_MAX_INTEGER)]
    peaks: Annotated[bytes, Meta(max_length=2 * MAX_POINTS)]

    def resample(self, points: int) -> list[tuple[int, int]]:
        """Returns the lowest and highest value of each of `points` equal parts of the time."""
        values = memoryview(self.peaks).cast("b")
        lows, highs = values[::2].tolist(), values[1::2].tolist()
        parts = _parts(len(lows), points) if lows else []
        return [(min(lows[part]), max(highs[part])) for part in parts]


def _parts(size: int, points: int) -> Sequence[slice]:
    """Returns the items, at least one, that each of `points` equal parts of `size` items covers."""
    bounds = [size * point // points for point in range(points + 1)]
    return [slice(start, max(end, start + 1)) for start, end in pairwise(bounds)]
