"""Audio responses: preconditions, ranges, file names (RFC 9110, RFC 8187)."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Stream

from service.api.http.conditional import if_match_matches, if_none_match_matches
from service.api.http.encoded_response import EncodedResponse
from service.api.http.ranges import ByteRange, parse_range
from service.domain.errors import PreconditionFailed, Unavailable
from service.domain.message import Audio
from service.domain.recording import Recording
from service.domain.text import safe_file_name
from service.logs import get_logger

log = get_logger(__name__)

AnyRequest = Request[Any, Any, Any]
# The size of one block of the audio store. Up to this size, audio is sent without streaming.
_MAX_BUFFERED_BYTES = 64 * 1024
# The HTTP server buffers a few chunks of each response for a slow client.
_CHUNK_BYTES = 16 * 1024
VARY = "Accept, Authorization, X-Auth-Token, X-Auth-User, X-Auth-Password, X-Auth-For"

Read = Callable[[Audio, int, int], AbstractAsyncContextManager[AsyncIterator[bytes]]]
Presign = Callable[[Audio, str, Mapping[str, str]], Awaitable[str]]


async def create_audio_response(
    request: AnyRequest,
    audio: Audio,
    name: str,
    read: Read,
    record: Callable[[], None],
    presign: Presign | None = None,
) -> Response[bytes] | Stream:
    """Returns the audio under a file name: complete, a range of it, or a 304.

    With `presign`, returns a 307 to the audio at the store, except for a request with `If-Match`:
    the store has another ETag. Calls `record` when the client gets the bytes or their URL.

    Raises PreconditionFailed, RangeNotSatisfiable, Unavailable.
    """
    tag = audio.sha256.hex()
    if not if_match_matches(request.headers, tag):
        raise PreconditionFailed
    headers = {
        "ETag": f'"{tag}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": content_disposition(name),
        "Cache-Control": "private",
        "Vary": VARY,
    }
    if if_none_match_matches(request.headers, tag):
        return Response(b"", status_code=304, headers=headers)
    if presign is not None and "if-match" not in request.headers:
        if request.method != "HEAD":
            record()
        return await _redirect(request, audio, headers, presign)
    requested = _requested_range(request, audio, headers["ETag"])
    part = requested or ByteRange(0, audio.size)
    if requested is not None:
        headers["Content-Range"] = requested.content_range(audio.size)
    headers["Content-Length"] = str(part.length)
    status = 200 if requested is None else 206
    if request.method == "HEAD":
        content = _empty_stream()
    else:
        record()
        content = await _open_stream(read(audio, part.start, part.length))
        if part.length <= _MAX_BUFFERED_BYTES:
            body = b"".join([chunk async for chunk in content])
            return EncodedResponse(
                body, status_code=status, media_type=audio.content_type, headers=headers
            )
    return Stream(content, status_code=status, media_type=audio.content_type, headers=headers)


async def _redirect(
    request: AnyRequest, audio: Audio, headers: Mapping[str, str], presign: Presign
) -> Response[bytes]:
    replaced = {name: headers[name] for name in ("Content-Disposition", "Cache-Control")}
    url = await presign(audio, request.method, {**replaced, "Content-Type": audio.content_type})
    return Response(b"", status_code=307, headers={"Location": url, "Cache-Control": "no-store"})


async def _open_stream(
    blocks: AbstractAsyncContextManager[AsyncIterator[bytes]],
) -> AsyncIterator[bytes]:
    """Opens the object before the response starts, so that an error becomes an error response."""
    stack = AsyncExitStack()
    opened = await stack.enter_async_context(blocks)

    async def chunks() -> AsyncIterator[bytes]:
        async with stack:
            try:
                async for block in opened:
                    size = max(_CHUNK_BYTES, len(block) // 4)
                    for start in range(0, len(block), size):
                        yield block[start : start + size]
                    # Frees the memory before the next block is fetched.
                    del block
            except Unavailable as error:
                # The response has started, so the only way to report the error is to abort it.
                log.warning("response aborted", problem=str(error), reason=error.reason)
                raise

    return chunks()


async def _empty_stream() -> AsyncIterator[bytes]:
    return
    yield b""


def file_name_of(recording: Recording) -> str:
    """Returns `<caller number>_<date>_<time>.<extension>`, in the time zone of the box."""
    number = recording.message.caller_id.number.strip() or "unknown"
    moment = recording.local_time
    return f"{number}_{moment:%Y-%m-%d_%H:%M:%S}.{recording.audio.extension}"


def content_disposition(name: str) -> str:
    """Returns a Content-Disposition: quoted ASCII, and RFC 8187 for a name that is not ASCII."""
    name = safe_file_name(name)
    plain = re.sub(r"[^\x20-\x7e]", "_", name)
    header = f'attachment; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


def _requested_range(request: AnyRequest, audio: Audio, etag: str) -> ByteRange | None:
    """Returns the requested range; None when `If-Range` contains another version."""
    if request.headers.get("if-range", etag) != etag:
        return None
    return parse_range(request.headers.get("range"), audio.size)
