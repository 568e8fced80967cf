"""The processes that read audio, as the kernel sees them."""

import os
import tempfile
from pathlib import Path
from typing import IO

import msgspec

from service.audio.conversion.operations import Convert, Converted
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.domain.rendition import RenditionFormat


class Descendant(msgspec.Struct, frozen=True):
    """Child process of this process. `state` is Z for a zombie."""

    pid: int
    state: str


def descendants(parent: int | None = None) -> list[Descendant]:
    """The children of a process, by default of this one, that read audio or are zombies."""
    rows = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        is_reader = b"service.audio.conversion.child" in command
        if int(ppid) == (parent or os.getpid()) and (is_reader or state == "Z"):
            rows.append(Descendant(int(folder.name), state))
    return rows


def file_of(content: bytes = b"") -> IO[bytes]:
    """A temporary file; close it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(content)
    file.flush()
    return file


async def convert(
    pool: ConversionPool,
    audio: bytes | IO[bytes],
    target: RenditionFormat = RenditionFormat.WAV,
    owner: str = "account",
    content_type: str = "application/octet-stream",
) -> tuple[Converted, bytes]:
    """The result of a conversion and its output."""
    source = file_of(audio) if isinstance(audio, bytes) else audio
    with source, file_of() as output:
        result = await pool.run(
            Convert(format=target), [AudioInput(source, content_type)], output, owner=owner
        )
        output.seek(0)
        return result, output.read()
