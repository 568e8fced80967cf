"""Operations by their tag."""

from collections.abc import Sequence
from typing import IO

from service.audio.conversion.child.convert import convert
from service.audio.conversion.child.join import join
from service.audio.conversion.child.measure import measure
from service.audio.conversion.child.peaks import read_peaks
from service.audio.conversion.operations import (
    Convert,
    Join,
    Measure,
    Operation,
    OperationResult,
    PeaksRead,
    ReadPeaks,
)

Input = tuple[IO[bytes], str]


def perform(
    operation: Operation, inputs: Sequence[tuple[IO[bytes], str]], output: IO[bytes] | None
) -> OperationResult:
    """Performs an operation. Inputs are files with their stored content types.

    Raises any exception for an input that cannot be read.
    """
    match operation:
        case Convert(format=target):
            assert output is not None
            return convert(*inputs[0], target, output)
        case Measure():
            return measure(*inputs[0])
        case ReadPeaks():
            return PeaksRead(waveform=read_peaks(*inputs[0]))
        case Join(format=target):
            assert output is not None
            return join(inputs, target, output)
