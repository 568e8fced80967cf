"""Request bodies: the JSON envelope, and uploads in the three forms that clients send."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, InternalServerException

from service.api.multipart import MalformedBody, UploadLimits, read_multipart
from service.domain.errors import AudioTooLarge, DocumentTooLarge
from service.domain.schema import Document
from service.usecases.uploads import Spool, Upload, accepts_audio

AnyRequest = Request[Any, Any, Any]

MAX_JSON_BYTES = 1_048_576
# Far more than any document needs, far less than recursion or Postgres can take.
MAX_JSON_LEVELS = 100
# What a multipart body may weigh beside its audio: the JSON part, headers, boundaries.
_MULTIPART_OVERHEAD = 2 * MAX_JSON_BYTES
_LIMITS = UploadLimits(max_metadata_bytes=MAX_JSON_BYTES)

# curl -d without a content type sends the form type; half of the documented calls do.
JSON_TYPES = frozenset(
    {"", "application/json", "application/x-json", "application/x-www-form-urlencoded"}
)
_MULTIPART_TYPES = frozenset({"multipart/form-data", "multipart/mixed"})


async def read_data(request: AnyRequest) -> Document:
    """The `data` object of a JSON body; empty when there is no body.

    Raises MalformedBody, DocumentTooLarge; HTTPException 415 for another content type.
    """
    if content_type_of(request) not in JSON_TYPES:
        raise HTTPException(status_code=415)
    return data_of(await _collect(_arriving(request), MAX_JSON_BYTES))


async def read_upload(request: AnyRequest, spool: Spool) -> tuple[Document, Upload | None]:
    """The `data` object and the audio of an upload, spooled as it arrives.

    Multipart with a JSON part and a file part in either order, JSON alone, or the audio alone.
    Raises what `service.api.multipart` names, AudioTooLarge, and HTTPException 415.
    """
    content_type = content_type_of(request)
    if content_type in JSON_TYPES:
        return await read_data(request), None
    if content_type in _MULTIPART_TYPES:
        _refuse_early(request, spool.limit + _MULTIPART_OVERHEAD, spool.limit)
        return await _read_multipart(request, spool)
    if not accepts_audio(content_type):
        raise HTTPException(status_code=415)
    _refuse_early(request, spool.limit, spool.limit)
    async for chunk in _arriving(request):
        await spool.write(chunk)
    return {}, Upload(spool, content_type)


async def _read_multipart(request: AnyRequest, spool: Spool) -> tuple[Document, Upload | None]:
    header = request.headers.get("content-type", "")
    received = await read_multipart(header, _arriving(request), spool, _LIMITS)
    data = {} if received.metadata is None else data_of(received.metadata)
    if not received.has_file:
        return data, None
    # Without parameters: they are a stranger's text, and go on to Postgres, S3 and every listener.
    content_type = _media_type(received.content_type or "application/octet-stream")
    if not accepts_audio(content_type):
        raise HTTPException(status_code=415)
    return data, Upload(spool, content_type)


def _refuse_early(request: AnyRequest, most: int, limit: int) -> None:
    """Spares both sides the transfer of a body that says itself that it is too large."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:18]) > most:
        raise AudioTooLarge(limit)


def content_type_of(request: AnyRequest) -> str:
    """The media type of the body, bare and in lower case; empty when there is none."""
    return _media_type(request.headers.get("content-type", ""))


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def data_of(body: bytes) -> Document:
    """The `data` of an envelope; a missing body or `data` is an empty object."""
    if not body.strip():
        return {}
    try:
        envelope = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedBody(str(error)) from error
    except RecursionError as error:
        raise MalformedBody("The JSON is nested too deeply") from error
    if not isinstance(envelope, dict):
        raise MalformedBody("The body must be a JSON object")
    data = envelope.get("data")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise MalformedBody("data must be an object")
    if body.count(b"{") + body.count(b"[") > MAX_JSON_LEVELS and _deeper(data, MAX_JSON_LEVELS):
        raise MalformedBody("The JSON is nested too deeply")
    if b"\\u0000" in body and _has_nul(data):
        raise MalformedBody("A string holds a NUL character")
    return data


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects lie in each other more than `levels` deep."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(_deeper(inner, levels - 1) for inner in value)


def _has_nul(value: Any) -> bool:
    """Postgres keeps no NUL in text, so none is taken."""
    match value:
        case str():
            return "\0" in value
        case dict():
            return any("\0" in key or _has_nul(inner) for key, inner in value.items())
        case list():
            return any(_has_nul(inner) for inner in value)
        case _:
            return False


async def _arriving(request: AnyRequest) -> AsyncIterator[bytes]:
    """The body as it comes. Raises MalformedBody when the client stops before its end."""
    try:
        async for chunk in request.stream():
            yield chunk
    except InternalServerException as error:
        raise MalformedBody("The body ends too early") from error


async def _collect(stream: AsyncIterator[bytes], limit: int) -> bytes:
    body = bytearray()
    async for chunk in stream:
        body += chunk
        if len(body) > limit:
            raise DocumentTooLarge(limit)
    return bytes(body)
