"""Audio on its way in: spooled, and bounded in number so that memory and disk are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from service.audio.formats import ACCEPTED_TYPES, extension_of, is_accepted
from service.audio.spool import Spool
from service.domain.errors import TooManyUploads

__all__ = ["AUDIO_TYPES", "Spool", "Upload", "Uploads", "accepts_audio"]

AUDIO_TYPES = ACCEPTED_TYPES

# What an upload may bring before it takes a place: a client that trickles never holds one.
FREE_BYTES = 16 * 1024


class Upload(msgspec.Struct, frozen=True):
    """Audio as it was received: the bytes, the declared content type, a name if it was given one.

    Of the name only its extension counts, and only one that audio has.
    """

    spool: Spool
    content_type: str
    filename: str | None = None

    @property
    def extension(self) -> str:
        return extension_of(self.content_type, self.filename)


def accepts_audio(content_type: str) -> bool:
    """Whether audio of this declared type is taken. The bytes are not inspected."""
    return is_accepted(content_type)


@dataclass
class Uploads:
    """The places for uploads in flight; one more than `most` is refused with TooManyUploads."""

    most: int
    max_bytes: int
    in_flight: int = 0

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """Where a request's audio is collected; more than `max_bytes` is refused."""
        with _Admitted(self) as spool:
            yield spool

    def enter(self) -> None:
        if self.in_flight >= self.most:
            raise TooManyUploads
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1


class _Admitted(Spool):
    def __init__(self, uploads: Uploads) -> None:
        super().__init__(uploads.max_bytes)
        self._uploads = uploads
        self._entered = False

    async def write(self, chunk: bytes) -> None:
        if not self._entered and self.size + len(chunk) > FREE_BYTES:
            self._uploads.enter()
            self._entered = True
        await super().write(chunk)

    def close(self) -> None:
        super().close()
        if self._entered:
            self._entered = False
            self._uploads.leave()
