"""Request bodies: the JSON envelope, and uploads in the three forms that clients send."""

from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import MultiDict
from litestar.exceptions import HTTPException
from msgspec import UNSET

from service.api.body.base64_body import Base64Decoder
from service.api.body.json_body import MAX_JSON_BYTES, check_storable, decode_object, read_chunks
from service.api.body.multipart import MalformedBody, UploadLimits, create_decoder, read_multipart
from service.api.kazoo.accept import (
    BASE64_TYPES,
    JSON_TYPES,
    MULTIPART_TYPES,
    bare,
    content_type_of,
)
from service.domain.errors import AudioTooLarge, DocumentTooLarge
from service.domain.schema import Document
from service.usecases.uploads import Spool, Upload, is_accepted

AnyRequest = Request[Any, Any, Any]

# What a multipart body may weigh beside its audio: the JSON part, headers, boundaries.
_MULTIPART_OVERHEAD = 2 * MAX_JSON_BYTES
_LIMITS = UploadLimits(max_metadata_bytes=MAX_JSON_BYTES)
_UNTYPED = "application/octet-stream"


async def read_data(request: AnyRequest) -> Document:
    """The `data` object of a JSON body or of a multipart body's JSON part; empty without a body.

    A DELETE may declare any type, but what it says must be read: what it names is removed, and
    without a word everything. Raises MalformedBody, DocumentTooLarge.
    """
    return data_of(await _read_json(request))


async def _read_json(request: AnyRequest) -> bytes:
    body = read_chunks(request, MAX_JSON_BYTES, DocumentTooLarge(MAX_JSON_BYTES))
    if content_type_of(request) not in MULTIPART_TYPES:
        return b"".join([chunk async for chunk in body])
    header = request.headers.get("content-type", "")
    received = await read_multipart(header, body, DiscardingSink(), _LIMITS)
    return received.metadata or b""


class RequestParameters(msgspec.Struct, frozen=True):
    """What a request about messages asks for, wherever it says so."""

    data: Document
    query: MultiDict[Any]
    envelope: Document

    def get(self, name: str) -> Any:
        """A parameter: the one in `data`, else in the query, else in the envelope itself.

        UNSET when it is nowhere; null counts only when nothing else is said (KAZOO API docs,
        "Basics of the REST API"; the order is that of Crossbar).
        """
        places = (self.data, self.query, self.envelope)
        said = [place[name] for place in places if name in place]
        return next((value for value in said if value is not None), None if said else UNSET)


async def read_parameters(request: AnyRequest) -> RequestParameters:
    """A JSON body with its envelope, and the query. Raises as `read_data`.

    An empty list as `data` is the empty object of clients whose language does not tell them apart.
    """
    body = await _read_json(request)
    envelope = _envelope_in(body)
    if envelope.get("data") == []:
        envelope["data"] = {}
    return RequestParameters(_data_in(envelope, body), request.query_params, envelope)


async def read_upload(request: AnyRequest, spool: Spool) -> tuple[Document, Upload | None]:
    """The `data` object and the audio of an upload, spooled as it arrives.

    Multipart with a JSON part and a file part in either order, JSON alone, or the audio alone, as
    it is or in base64. `?filename=` names the audio, else its part does. Raises what
    `service.api.body.multipart` names, AudioTooLarge, and HTTPException 415.
    """
    content_type = content_type_of(request)
    if content_type in MULTIPART_TYPES:
        return await _read_multipart(request, spool)
    decoder = create_decoder(request.headers.get("content-transfer-encoding", ""))
    # Base64 text without any type is no JSON.
    if content_type in JSON_TYPES and (content_type or decoder is None):
        return await read_data(request), None
    if content_type in BASE64_TYPES:
        content_type, decoder = _UNTYPED, Base64Decoder()
    return {}, await _read_audio(request, spool, content_type or _UNTYPED, decoder)


async def _read_multipart(request: AnyRequest, spool: Spool) -> tuple[Document, Upload | None]:
    header = request.headers.get("content-type", "")
    most = _as_base64(spool.limit) + _MULTIPART_OVERHEAD
    body = read_chunks(request, most, AudioTooLarge(spool.limit))
    received = await read_multipart(header, body, spool, _LIMITS)
    data = {} if received.metadata is None else data_of(received.metadata)
    if not received.has_file:
        return data, None
    return data, _upload(request, spool, received.content_type, received.filename)


async def _read_audio(
    request: AnyRequest, spool: Spool, content_type: str, decoder: Base64Decoder | None
) -> Upload:
    most = spool.limit if decoder is None else _as_base64(spool.limit)
    async for chunk in read_chunks(request, most, AudioTooLarge(spool.limit)):
        await spool.write(chunk if decoder is None else decoder.feed(chunk))
    if decoder is not None:
        await spool.write(decoder.finish())
        content_type = decoder.content_type or content_type
    return _upload(request, spool, content_type, None)


def _upload(
    request: AnyRequest, spool: Spool, content_type: str | None, filename: str | None
) -> Upload:
    # Without parameters: they are a stranger's text, and go on to Postgres, S3 and every listener.
    kept = bare(content_type or _UNTYPED)
    if not is_accepted(kept):
        raise HTTPException(status_code=415)
    return Upload(spool, kept, request.query_params.get("filename") or filename)


def _as_base64(size: int) -> int:
    """What so many bytes may take as base64 with line breaks, and some words before it."""
    return size * 3 // 2 + 1024


class DiscardingSink:
    """Where a file goes that nobody asked for."""

    async def write(self, chunk: bytes) -> None:
        """Drops it."""


def envelope_of(found: Document) -> Document:
    """An envelope's keys may be spelled `Data` or `Auth-Token` as well."""
    return {key.lower().replace("-", "_"): value for key, value in found.items()}


def data_of(body: bytes) -> Document:
    """The `data` of an envelope; a missing body or `data` is an empty object."""
    return _data_in(_envelope_in(body), body)


def _envelope_in(body: bytes) -> Document:
    return envelope_of(decode_object(body)) if body.strip() else {}


def _data_in(envelope: Document, body: bytes) -> Document:
    data = envelope.get("data")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise MalformedBody("data must be an object")
    # Of the caller, and no part of what is described: it would be kept and told to listeners.
    data.pop("auth_token", None)
    return check_storable(data, body)
