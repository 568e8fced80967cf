"""JSON of waveforms."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.domain.media import MAX_POINTS

Sample = Annotated[int, Meta(ge=-128, le=127)]


class WaveformData(msgspec.Struct, kw_only=True):
    """The lowest and the highest sample of each part of a recording that is divided into equal
    parts. The names of `bits`, `length` and `data` are those of the program audiowaveform."""

    duration_ms: Annotated[int, Meta(ge=0, description="Milliseconds of audio")]
    bits: Annotated[Literal[8], Meta(description="Samples are from -128 to 127")] = 8
    length: Annotated[int, Meta(ge=1, le=MAX_POINTS, description="The number of parts")]
    data: Annotated[
        list[Sample],
        Meta(
            min_length=2,
            max_length=2 * MAX_POINTS,
            description="Two samples of each part: the lowest and the highest",
        ),
    ]
