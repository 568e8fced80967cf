"""Operation Join: writes several inputs, one after the other, in the format of a rendition."""

from collections.abc import Iterator, Sequence
from typing import IO

import av

from service.audio.conversion.child.convert import encode
from service.audio.conversion.child.decoding import Unreadable, decode, open_audio
from service.audio.conversion.operations import Converted
from service.domain.rendition import RenditionFormat


def join(
    inputs: Sequence[tuple[IO[bytes], str]], target: RenditionFormat, output: IO[bytes]
) -> Converted:
    """Writes the first audio stream of each file. Raises Unreadable if one has no audio."""
    return encode(_frames(inputs), target, output)


def _frames(inputs: Sequence[tuple[IO[bytes], str]]) -> Iterator[av.AudioFrame]:
    for file, content_type in inputs:
        has_audio = False
        with open_audio(file, content_type) as source:
            for frame in decode(source):
                has_audio = True
                yield frame
        if not has_audio:
            raise Unreadable
