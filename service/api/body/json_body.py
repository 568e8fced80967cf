"""JSON bodies in all dialects: how large, how deep, and without what Postgres refuses."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request

from service.api.body.multipart import MalformedBody
from service.domain.errors import AudioTooLarge, DocumentTooLarge
from service.domain.schema import Document

AnyRequest = Request[Any, Any, Any]

MAX_JSON_BYTES = 1_048_576
# Far more than any document needs, far less than recursion or Postgres can take.
MAX_JSON_LEVELS = 100


async def bounded(
    request: AnyRequest, most: int, refusal: AudioTooLarge | DocumentTooLarge
) -> AsyncIterator[bytes]:
    """The body as it comes. One that says itself that it is too large is refused unread: that
    spares both sides the transfer."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:18]) > most:
        raise refusal
    async for chunk in _arriving(request):
        most -= len(chunk)
        if most < 0:
            raise refusal
        yield chunk


def object_of(body: bytes) -> Document:
    """The JSON object that a body is. Raises MalformedBody."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedBody(str(error)) from error
    except RecursionError as error:
        raise MalformedBody("The JSON is nested too deeply") from error
    if not isinstance(found, dict):
        raise MalformedBody("The body must be a JSON object")
    return found


def storable(document: Document, body: bytes) -> Document:
    """The document, a part of `body`, when it can be kept. Raises MalformedBody."""
    if body.count(b"{") + body.count(b"[") > MAX_JSON_LEVELS and _deeper(document, MAX_JSON_LEVELS):
        raise MalformedBody("The JSON is nested too deeply")
    if b"\\u0000" in body and _has_nul(document):
        raise MalformedBody("A string holds a NUL character")
    return document


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
    more = True
    while more:
        event = await request.receive()
        if event["type"] != "http.request":
            raise MalformedBody("The body ends too early")
        if event["body"]:
            yield event["body"]
        more = event["more_body"]
