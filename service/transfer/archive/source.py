"""Archive as the source of an import. It is read from the beginning for each kind of record."""

import asyncio
import hashlib
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import msgspec
import zstandard

from service.transfer.archive.format import (
    FORMAT,
    HEAD,
    MANIFEST,
    SECTIONS,
    VERSION,
    ArchivedAccount,
    ArchivedAudio,
    ArchivedBox,
    ArchivedGreeting,
    ArchivedMessage,
    ArchivedRow,
    ArchivedUser,
    ArchiveHead,
    ArchiveSection,
)
from service.transfer.source import (
    OpenAudio,
    SourceAccount,
    SourceBox,
    SourceError,
    SourceFailed,
    SourceGreeting,
    SourceMessage,
    SourceUser,
)

Row = TypeVar("Row", bound=ArchivedRow)

_MEMORY_BYTES = 256 * 1024
_BLOCK_BYTES = 256 * 1024
_MAX_LINES_BYTES = 256 * 1024 * 1024


class ArchiveSource:
    """Reads an archive. Ids are kept. Its memory is bounded by one member of JSON lines."""

    name = "archive"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def accounts(self) -> AsyncIterator[SourceAccount]:
        async for row, _ in self._rows(ArchiveSection.ACCOUNTS, ArchivedAccount):
            yield SourceAccount(
                key=row.id,
                name=row.name,
                realm=row.realm,
                parent_key=row.parent_id,
                document=row.document,
            )

    async def users(self) -> AsyncIterator[SourceUser]:
        async for row, _ in self._rows(ArchiveSection.USERS, ArchivedUser):
            yield SourceUser(key=row.id, account_key=row.account_id, document=row.document)

    async def greetings(self) -> AsyncIterator[SourceGreeting]:
        async for row, audio in self._rows(ArchiveSection.GREETINGS, ArchivedGreeting):
            stored = row.audio
            yield SourceGreeting(
                key=row.id,
                account_key=row.account_id,
                owner_key=row.owner_id,
                document=row.document,
                filename=None if stored is None else _file_name(stored),
                content_type=None if stored is None else stored.content_type,
                open=None if stored is None else audio or _missing,
            )

    async def boxes(self) -> AsyncIterator[SourceBox]:
        async for row, _ in self._rows(ArchiveSection.BOXES, ArchivedBox):
            yield SourceBox(
                key=row.id,
                account_key=row.account_id,
                document=row.document,
                deleted_at=row.deleted_at,
            )

    async def messages(self) -> AsyncIterator[SourceMessage]:
        async for row, audio in self._rows(ArchiveSection.MESSAGES, ArchivedMessage):
            yield SourceMessage(
                key=row.id,
                box_key=row.box_id,
                received_at=row.received_at,
                length_ms=row.length_ms,
                folder=row.folder,
                caller_id_number=row.caller_id_number,
                caller_id_name=row.caller_id_name,
                call_id=row.call_id,
                from_uri=row.from_uri,
                to_uri=row.to_uri,
                transcription=row.transcription,
                words=row.words,
                forwarded=row.forwarded,
                removed_at=row.removed_at,
                changed_at=row.changed_at,
                filename=_file_name(row.audio),
                content_type=row.audio.content_type,
                open=audio or _missing,
            )

    async def count_messages(self) -> int:
        with _Members(self._path) as members:
            return (await asyncio.to_thread(members.read_head)).messages

    async def close(self) -> None:
        """Does nothing: each iteration closes the file."""

    async def _rows(
        self, section: ArchiveSection, kind: type[Row]
    ) -> AsyncIterator[tuple[Row, OpenAudio | None]]:
        """Yields the rows of a section with their audio. Raises SourceFailed."""
        decoder = msgspec.json.Decoder(kind)
        with _Members(self._path) as members:
            await asyncio.to_thread(members.read_head)
            name = await asyncio.to_thread(members.skip_to, section)
            while name is not None and name.startswith(f"{section}/"):
                lines = await asyncio.to_thread(members.read_lines)
                name = await asyncio.to_thread(members.advance)
                for line in lines.splitlines():
                    row, audio = _decode(decoder, line), None
                    stored = getattr(row, "audio", None)
                    if stored is not None and stored.name == name:
                        audio = await asyncio.to_thread(members.read_audio, stored)
                        name = await asyncio.to_thread(members.advance)
                    yield row, audio
            if section is SECTIONS[-1] and name != MANIFEST:
                raise _incomplete()


class _Audio:
    """Audio of one member, in memory or in a temporary file until nothing refers to it."""

    def __init__(self, stored: ArchivedAudio) -> None:
        self._file = tempfile.SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115 - see __del__
        self._stored = stored
        self._digest = hashlib.sha256()

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self._digest.update(block)

    async def __call__(self) -> AsyncIterator[bytes]:
        if self._digest.hexdigest() != self._stored.sha256:
            raise SourceError("its audio differs from the SHA-256 in the archive")
        self._file.seek(0)
        while block := self._file.read(_BLOCK_BYTES):
            yield block

    def __del__(self) -> None:
        self._file.close()


class _Members:
    """Members of an archive, one after the other. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._member: tarfile.TarInfo | None = None

    def __enter__(self) -> "_Members":
        try:
            self._file: IO[bytes] = self._path.open("rb")
        except OSError as error:
            raise SourceFailed(f"{self._path} cannot be read: {error.strerror}.") from None
        frames = zstandard.ZstdDecompressor().stream_reader(self._file, read_across_frames=True)
        try:
            with _translated_errors():
                self._tar = tarfile.open(fileobj=frames, mode="r|")
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()
        self._file.close()

    def read_head(self) -> ArchiveHead:
        """Reads the first member. Raises SourceFailed if this release cannot read the archive."""
        if self.advance() != HEAD:
            raise SourceFailed(f"{self._path} is not an archive of Aftertone.")
        with _translated_errors():
            head = msgspec.json.decode(self.read_lines(), type=ArchiveHead)
        if head.format != FORMAT or head.version > VERSION:
            raise SourceFailed(
                f"The archive has version {head.version}; this release reads version {VERSION}. "
                "Import it with a newer release."
            )
        self.advance()
        return head

    def advance(self) -> str | None:
        """Moves to the next member. Returns its name, or None at the end."""
        with _translated_errors():
            self._member = self._tar.next()
            # tarfile keeps all members that it has read.
            self._tar.members = []  # type: ignore[attr-defined]
        return self._name()

    def skip_to(self, section: ArchiveSection) -> str | None:
        """Moves to the first member of a section or of a later one. Returns its name."""
        earlier = tuple(f"{name}/" for name in SECTIONS[: SECTIONS.index(section)])
        name = self._name()
        while name is not None and name.startswith(earlier):
            name = self.advance()
        return name

    def _name(self) -> str | None:
        return None if self._member is None else self._member.name

    def read_lines(self) -> bytes:
        return b"".join(self._blocks(_MAX_LINES_BYTES))

    def read_audio(self, stored: ArchivedAudio) -> _Audio:
        audio = _Audio(stored)
        for block in self._blocks(stored.size):
            audio.write(block)
        return audio

    def _blocks(self, max_bytes: int) -> Iterator[bytes]:
        assert self._member is not None
        if self._member.size > max_bytes:
            raise SourceFailed(f"The member {self._member.name} is too large.")
        with _translated_errors():
            file = self._tar.extractfile(self._member)
            if file is None:
                raise SourceFailed(f"The member {self._member.name} is no file.")
            while block := file.read(_BLOCK_BYTES):
                yield block


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zstandard.ZstdError, EOFError, OSError) as error:
        raise _incomplete() from error
    except msgspec.MsgspecError as error:
        raise SourceFailed(f"The archive is damaged: {error}.") from error


def _file_name(audio: ArchivedAudio) -> str:
    return audio.name.rpartition("/")[2]


def _decode(decoder: "msgspec.json.Decoder[Row]", line: bytes) -> Row:
    with _translated_errors():
        return decoder.decode(line)


def _incomplete() -> SourceFailed:
    return SourceFailed("The archive is incomplete or damaged; copy or export it again.")


async def _missing() -> AsyncIterator[bytes]:
    raise SourceError("its audio was missing when the archive was written")
    yield b""
