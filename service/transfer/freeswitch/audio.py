"""Audio of FreeSWITCH: files below its storage folder, and base64 in a column."""

import asyncio
import base64
import binascii
import os
import re
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path, PurePosixPath

from service.transfer.files import read_below
from service.transfer.source import OpenAudio, SourceError

PART_CHARACTERS = 4 * 1024 * 1024
"""Characters of base64 that are read at once."""

Names = tuple[str, ...]


class StorageFolder:
    """Folder `storage/voicemail` of FreeSWITCH, or a copy of it. With None it has no files."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def find(self, *paths: Names) -> Names | None:
        """Returns the first of the paths that is a regular file. Blocks."""
        for names in paths:
            if self._root is not None and _is_file(Path(self._root, *names)):
                return names
        return None

    def find_path(self, path: str) -> Names | None:
        """Returns the file with the path that the switch used, which may be on another host.

        Returns the longest suffix of the path that exists below the folder. Blocks.
        """
        parts = tuple(part for part in PurePosixPath(path).parts if part not in ("/", ".."))
        return self.find(*(parts[start:] for start in range(len(parts))))

    def opener(self, names: Names) -> OpenAudio:
        """Returns a function that streams a file."""
        root = self._root
        assert root is not None, "only a file below it is opened"

        async def stream() -> AsyncIterator[bytes]:
            position = 0
            try:
                while block := await asyncio.to_thread(read_below, root, names, position):
                    position += len(block)
                    yield block
            except OSError as error:
                raise SourceError(f"the file cannot be read ({error.strerror})") from error

        return stream


def base64_opener(read: Callable[[int, int], Awaitable[str]]) -> OpenAudio:
    """Returns a function that streams base64. `read` gets a position and a length in characters."""

    async def stream() -> AsyncIterator[bytes]:
        position, rest = 0, ""
        while part := await read(position, PART_CHARACTERS):
            position += len(part)
            text = rest + re.sub(r"\s", "", part)
            rest = text[len(text) // 4 * 4 :]
            yield _decode(text.removesuffix(rest))
        if rest:
            yield _decode(rest.ljust(4, "="))

    return stream


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError("the audio in the database is not base64") from error


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False
