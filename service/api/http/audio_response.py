"""Stored audio as an answer: conditions, ranges, file names (RFC 9110, RFC 8187)."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Stream

from service.api.http.conditional import if_match_matches, if_none_match_matches
from service.api.http.ranges import ByteRange, parse_range
from service.domain.errors import PreconditionFailed, Unavailable
from service.domain.message import Audio
from service.domain.recording import Recording
from service.logs import get_logger

log = get_logger(__name__)

AnyRequest = Request[Any, Any, Any]
# One block of the audio store: what is no larger is sent as a whole.
_WHOLE_BYTES = 64 * 1024
# The HTTP server holds a few pieces of each answer whose client is slow.
_PIECE_BYTES = 16 * 1024

Read = Callable[[Audio, int, int], AbstractAsyncContextManager[AsyncIterator[bytes]]]


async def answer_audio(
    request: AnyRequest, audio: Audio, name: str, read: Read
) -> Response[bytes] | Stream:
    """The audio under a file name, a range of it, or 304 when the client has it."""
    tag = audio.sha256.hex()
    if not if_match_matches(request.headers, tag):
        raise PreconditionFailed
    headers = {
        "ETag": f'"{tag}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(name),
    }
    if if_none_match_matches(request.headers, tag):
        return Response(b"", status_code=304, headers=headers)
    wanted = _wanted(request, audio, headers["ETag"])
    part = wanted or ByteRange(0, audio.size)
    if wanted is not None:
        headers["Content-Range"] = wanted.content_range(audio.size)
    headers["Content-Length"] = str(part.length)
    status = 200 if wanted is None else 206
    if request.method == "HEAD":
        content = _nothing()
    else:
        content = await opened(read(audio, part.start, part.length))
        if part.length <= _WHOLE_BYTES:
            whole = b"".join([block async for block in content])
            return Response(
                whole, status_code=status, media_type=audio.content_type, headers=headers
            )
    return Stream(content, status_code=status, media_type=audio.content_type, headers=headers)


async def opened(
    blocks: AbstractAsyncContextManager[AsyncIterator[bytes]],
) -> AsyncIterator[bytes]:
    """The bytes, with the store's answer already here: what fails, fails before the answer."""
    stack = AsyncExitStack()
    entered = await stack.enter_async_context(blocks)

    async def passed_on() -> AsyncIterator[bytes]:
        async with stack:
            try:
                async for block in entered:
                    size = max(_PIECE_BYTES, len(block) // 4)
                    for start in range(0, len(block), size):
                        yield block[start : start + size]
                    # Else it stays in memory while the next one is fetched.
                    del block
            except Unavailable as error:
                # The answer has begun: all that is left is to end the connection before its end.
                log.warning("An answer was cut short", problem=str(error), reason=error.reason)
                raise

    return passed_on()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def file_name(recording: Recording) -> str:
    """`<caller number>_<date>_<time>.<extension>`, in the time zone of the box."""
    number, moment = recording.message.caller_id.number, recording.local_time
    return f"{number}_{moment:%Y-%m-%d_%H:%M:%S}.{recording.audio.extension}"


def disposition(name: str) -> str:
    """A Content-Disposition for any name: quoted ASCII, and RFC 8187 when it is not ASCII."""
    plain = re.sub(r'[^\x20-\x7e]|["\\/]', "_", name)
    header = f'attachment; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


def _wanted(request: AnyRequest, audio: Audio, etag: str) -> ByteRange | None:
    """The range that counts: `If-Range` with another version asks for the whole."""
    if request.headers.get("if-range", etag) != etag:
        return None
    return parse_range(request.headers.get("range"), audio.size)
