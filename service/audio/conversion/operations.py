"""Messages between the pool and its child processes: operations, and their results."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from service.domain.media import MediaFacts, Waveform
from service.domain.rendition import RenditionFormat

MAX_FILES = 8
"""Maximum number of inputs and outputs of an operation."""
MAX_JOB_BYTES = 64 * 1024
MAX_RESULT_BYTES = 4 * 1024 * 1024


class Convert(msgspec.Struct, frozen=True, kw_only=True, tag="convert"):
    """Converts one input into the output."""

    format: RenditionFormat


class Join(msgspec.Struct, frozen=True, kw_only=True, tag="join"):
    """Writes all inputs, one after the other, into the output."""

    format: RenditionFormat


class Measure(msgspec.Struct, frozen=True, kw_only=True, tag="measure"):
    """Measures one input."""


class ReadPeaks(msgspec.Struct, frozen=True, kw_only=True, tag="read_peaks"):
    """Reads the outline of one input."""


# Each operation has a module in `child/` and a branch in `child/dispatch.py`.
Operation = Convert | Join | Measure | ReadPeaks


class Converted(msgspec.Struct, frozen=True, kw_only=True, tag="converted"):
    """Properties of the output."""

    length_ms: int
    size: int


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """Facts about the input, and its outline."""

    facts: MediaFacts
    waveform: Waveform


class PeaksRead(msgspec.Struct, frozen=True, kw_only=True, tag="peaks_read"):
    """Outline of the input."""

    waveform: Waveform


class UnreadableCause(StrEnum):
    """Reason why an operation failed."""

    MALFORMED = "malformed"
    CRASH = "crash"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"
    TIME = "time"


class OperationFailed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Answer of a child process that could not perform an operation."""

    cause: UnreadableCause


OperationResult = Converted | Measured | PeaksRead


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Request to a child process. File descriptors accompany it: the inputs, then the output."""

    operation: Operation
    content_types: Sequence[str]
    has_output: bool
    cpu_s: int
    output_bytes: int
