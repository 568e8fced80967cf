"""Audio of a message that is forwarded with a comment: comment and original, joined."""

import tempfile
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import IO
from uuid import UUID

import msgspec

from service.audio.conversion.files import fetch_audio, write_spool
from service.audio.conversion.operations import Converted, Join
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.audio.inspection import inspect
from service.audio.store import AudioStore
from service.domain.audio_errors import AudioUnreadable, CommentUnreadable
from service.domain.message import Audio
from service.domain.rendition import RenditionFormat
from service.usecases.uploads import Upload

FORMATS = {
    "mp3": RenditionFormat.MP3,
    "mp4": RenditionFormat.M4A,
    "wav": RenditionFormat.WAV,
}
"""Format of the joined audio, by the `media_extension` of the mailbox that gets it."""


class JoinedAudio(msgspec.Struct, frozen=True, kw_only=True):
    """Joined audio in one format."""

    format: RenditionFormat
    file: IO[bytes]
    length_ms: int


@asynccontextmanager
async def join_audio(
    pool: ConversionPool,
    owner: UUID,
    store: AudioStore,
    parts: Sequence[Audio | Upload],
    formats: Collection[RenditionFormat],
) -> AsyncIterator[dict[RenditionFormat, JoinedAudio]]:
    """Yields the parts one after the other, in each format.

    `owner` is the account. Raises AudioEmpty, NotAudio, AudioMissing, CommentUnreadable,
    ConversionUnavailable, Unavailable.
    """
    with ExitStack() as stack:
        joined: dict[RenditionFormat, JoinedAudio] = {}
        if formats:
            # Without a place in the pool there are no temporary files.
            async with pool.reserve(owner):
                inputs = [await _open_part(stack, store, part) for part in parts]
                joined = {target: await _join(stack, pool, inputs, target) for target in formats}
        yield joined


async def _open_part(stack: ExitStack, store: AudioStore, part: Audio | Upload) -> AudioInput:
    file = stack.enter_context(_temporary_file())
    if isinstance(part, Audio):
        await fetch_audio(store, part, file)
        return AudioInput(file, part.content_type)
    properties = await inspect(part.spool, part.content_type, part.filename)
    await write_spool(part.spool, file)
    return AudioInput(file, properties.content_type)


async def _join(
    stack: ExitStack,
    pool: ConversionPool,
    inputs: Sequence[AudioInput],
    target: RenditionFormat,
) -> JoinedAudio:
    output = stack.enter_context(_temporary_file())
    try:
        result = await pool.run_reserved(Join(format=target), inputs, output)
    except AudioUnreadable as error:
        raise CommentUnreadable(error.cause) from error
    assert isinstance(result, Converted), "the result of Join"
    return JoinedAudio(format=target, file=output, length_ms=result.length_ms)


def _temporary_file() -> IO[bytes]:
    return tempfile.TemporaryFile()
