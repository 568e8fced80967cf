"""JSON bodies of all dialects, bounded in size and depth."""

import codecs
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request

from service.api.body.multipart import MalformedBody, check_content_encoding
from service.api.middleware.body_memory import body_memory_of
from service.domain.audio_errors import AudioTooLarge
from service.domain.errors import DocumentTooLarge
from service.domain.schema import Document

AnyRequest = Request[Any, Any, Any]

MAX_JSON_BYTES = 1_048_576
# Documents have fewer levels, and both Python and Postgres can process more.
MAX_JSON_LEVELS = 100
_NOT_AN_OBJECT = (
    "The body is not a JSON object. Send an object in JSON; "
    "to send audio, declare its type in Content-Type, for example audio/x-wav"
)


async def read_chunks(
    request: AnyRequest, max_bytes: int, too_large: AudioTooLarge | DocumentTooLarge
) -> AsyncIterator[bytes]:
    """Yields the body as it arrives. Raises `too_large` if it exceeds `max_bytes`, MalformedBody,
    ContentEncodingRefused.

    A body with a larger `Content-Length` is refused before it is read, which saves the transfer.
    """
    _check_head(request, max_bytes, too_large)
    more = True
    while more:
        chunk, more = await _receive_chunk(request)
        max_bytes -= len(chunk)
        if max_bytes < 0:
            raise too_large
        if chunk:
            yield chunk


async def read_json_body(request: AnyRequest) -> bytes:
    """Reads a body of at most 1 MiB. Raises DocumentTooLarge, TooManyBodies, MalformedBody."""
    too_large = DocumentTooLarge(MAX_JSON_BYTES)
    _check_head(request, MAX_JSON_BYTES, too_large)
    memory = body_memory_of(request.scope)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        chunk, more = await _receive_chunk(request)
        size += len(chunk)
        if size > MAX_JSON_BYTES:
            raise too_large
        memory.hold(size)
        chunks.append(chunk)
    # A body of one chunk is returned without a copy.
    return b"".join(chunks)


def _check_head(
    request: AnyRequest, max_bytes: int, too_large: AudioTooLarge | DocumentTooLarge
) -> None:
    """Refuses a body before it is read, which saves the transfer."""
    check_content_encoding(request.headers.get("content-encoding", ""))
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:18]) > max_bytes:
        raise too_large


def decode_object(body: bytes) -> Document:
    """Decodes a JSON object, with or without a byte order mark. Raises MalformedBody."""
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedBody(_fault_of(body, error)) from error
    except RecursionError as error:
        raise MalformedBody("The JSON is nested too deeply") from error
    if not isinstance(document, dict):
        raise MalformedBody(_NOT_AN_OBJECT)
    return document


def _fault_of(body: bytes, error: Exception) -> str:
    """Returns a text about a body that is not JSON."""
    if not body.lstrip().startswith((b"{", b"[")):
        return _NOT_AN_OBJECT
    try:
        body.decode()
    except UnicodeDecodeError as fault:
        return f"The JSON is not UTF-8 (byte {fault.start}); encode it as UTF-8"
    is_truncated = "truncated" in str(error)
    # The decoder calls a string truncated, too, that ends with half of a pair.
    if "surrogate" in str(error) or (is_truncated and _is_complete(body)):
        return "A string contains half of a surrogate pair; send both halves, or the character"
    return "The JSON is incomplete; send all of it" if is_truncated else str(error)


def _is_complete(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def check_storable(document: Document, body: bytes) -> Document:
    """Returns the document, which is part of `body`, if Postgres can store it.

    Raises MalformedBody.
    """
    levels = body.count(b"{") + body.count(b"[")
    if levels > MAX_JSON_LEVELS and _is_deeper(document, MAX_JSON_LEVELS):
        raise MalformedBody("The JSON is nested too deeply")
    if b"\\u0000" in body and _has_nul(document):
        raise MalformedBody("A string contains a NUL character")
    return document


def _is_deeper(value: Any, max_levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return max_levels == 0 or any(_is_deeper(inner, max_levels - 1) for inner in value)


def _has_nul(value: Any) -> bool:
    """True when a string or key contains NUL, which Postgres cannot store."""
    match value:
        case str():
            return "\0" in value
        case dict():
            return any("\0" in key or _has_nul(inner) for key, inner in value.items())
        case list():
            return any(_has_nul(inner) for inner in value)
        case _:
            return False


async def _receive_chunk(request: AnyRequest) -> tuple[bytes, bool]:
    """Returns a part of the body, which may be empty, and whether more parts follow.

    Raises MalformedBody when the client disconnects.
    """
    event = await request.receive()
    if event["type"] != "http.request":
        raise MalformedBody("The body is incomplete")
    return event["body"], event["more_body"]
