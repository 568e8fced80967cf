"""Request bodies: the JSON envelope, and uploads in three forms."""

from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import MultiDict
from msgspec import UNSET

from service.api.body.base64_body import Base64Decoder
from service.api.body.json_body import (
    MAX_JSON_BYTES,
    check_storable,
    decode_object,
    read_chunks,
    read_json_body,
)
from service.api.body.multipart import MalformedBody, UploadLimits, create_decoder, read_multipart
from service.api.kazoo.accept import (
    BASE64_TYPES,
    JSON_TYPES,
    MULTIPART_TYPES,
    UPLOAD,
    content_type_of,
    media_type_of,
)
from service.api.kazoo.envelope import FieldWarning, warn
from service.api.middleware.body_memory import body_memory_of
from service.domain.audio_errors import AudioTooLarge
from service.domain.errors import ContentTypeRefused, DocumentTooLarge, Rule
from service.domain.schema import Document
from service.domain.text import strip_control_characters
from service.usecases.uploads import Spool, Upload, is_accepted

AnyRequest = Request[Any, Any, Any]

# The size of a multipart body without its audio: the JSON part, headers, boundaries.
_MULTIPART_OVERHEAD = 2 * MAX_JSON_BYTES
_LIMITS = UploadLimits(max_metadata_bytes=MAX_JSON_BYTES)
_UNTYPED = "application/octet-stream"
_MAX_NAME = 64


async def read_data(request: AnyRequest) -> Document:
    """Reads the `data` object of a JSON body or of the JSON part of a multipart body.

    Returns an empty object without a body. The body of a DELETE is JSON with any content type:
    ignoring it would delete more than the client selected. Raises MalformedBody, DocumentTooLarge.
    """
    return data_of(await _read_json(request))


async def _read_json(request: AnyRequest) -> bytes:
    if content_type_of(request) not in MULTIPART_TYPES:
        return await read_json_body(request)
    body = read_chunks(request, MAX_JSON_BYTES, DocumentTooLarge(MAX_JSON_BYTES))
    header = request.headers.get("content-type", "")
    hold = body_memory_of(request.scope).hold
    received = await read_multipart(header, body, DiscardingSink(), _LIMITS, hold)
    return received.metadata or b""


class RequestParameters(msgspec.Struct, frozen=True):
    """Parameters of a request about messages, from the three places where they may be."""

    data: Document
    query: MultiDict[Any]
    envelope: Document

    def get(self, name: str) -> Any:
        """Returns a parameter from `data`, else from the query, else from the envelope.

        Returns the first value that is not null, or UNSET if the parameter is absent (KAZOO API
        docs, "Basics of the REST API"; the order is that of Crossbar).
        """
        places = (self.data, self.query, self.envelope)
        values = [place[name] for place in places if name in place]
        return next((value for value in values if value is not None), None if values else UNSET)


async def read_parameters(request: AnyRequest) -> RequestParameters:
    """Reads the parameters of a request about messages. Raises the errors of `read_data`.

    An empty list as `data` means an empty object: some languages encode an empty object as `[]`.
    """
    body = await _read_json(request)
    envelope = _decode_envelope(body)
    if envelope.get("data") == []:
        envelope["data"] = {}
    return RequestParameters(_data_of_envelope(envelope, body), request.query_params, envelope)


async def read_upload(
    request: AnyRequest, spool: Spool, *, is_stored: bool = True
) -> tuple[Document, Upload | None]:
    """Reads the `data` object of an upload and writes its audio to the spool.

    The body is multipart with a JSON part and a file part, JSON alone, or audio alone; audio may be
    in base64. The name of the audio is `?filename=`, else the name of its part. `is_stored` is
    False if only checked fields of `data` are stored: the others may be any JSON. Raises the errors
    of `service.api.body.multipart`, AudioTooLarge, ContentTypeRefused, ContentEncodingRefused.
    """
    content_type = content_type_of(request)
    if content_type in MULTIPART_TYPES:
        return await _read_multipart(request, spool, is_stored=is_stored)
    decoder = create_decoder(request.headers.get("content-transfer-encoding", ""))
    # Base64 text without a content type is not JSON.
    if content_type in JSON_TYPES and (content_type or decoder is None):
        return _read_metadata(request, await _read_json(request), is_stored=is_stored), None
    if content_type in BASE64_TYPES:
        content_type, decoder = _UNTYPED, Base64Decoder()
    return {}, await _read_audio(request, spool, content_type or _UNTYPED, decoder)


async def _read_multipart(
    request: AnyRequest, spool: Spool, *, is_stored: bool
) -> tuple[Document, Upload | None]:
    header = request.headers.get("content-type", "")
    limit = _base64_size(spool.limit) + _MULTIPART_OVERHEAD
    body = read_chunks(request, limit, AudioTooLarge(spool.limit))
    hold = body_memory_of(request.scope).hold
    received = await read_multipart(header, body, spool, _LIMITS, hold)
    data = _read_metadata(request, received.metadata or b"", is_stored=is_stored)
    warn(request, map(_ignored_field, received.ignored_fields))
    if not received.has_file:
        return data, None
    return data, _upload(request, spool, received.content_type, received.filename)


def _read_metadata(request: AnyRequest, body: bytes, *, is_stored: bool) -> Document:
    """Returns the `data` of an upload. Warns if the object has keys, but no `data`."""
    envelope = _decode_envelope(body)
    if envelope and "data" not in envelope:
        text = "The metadata must be inside the object `data`; it was not stored"
        warn(request, [FieldWarning(field="data", rule=Rule.REQUIRED, message=text)])
    return _data_of_envelope(envelope, body, is_stored=is_stored)


def _ignored_field(name: str) -> FieldWarning:
    return FieldWarning(
        field=strip_control_characters(name)[:_MAX_NAME],
        rule="unknown",
        message="The form field was ignored; send the metadata as a JSON object",
    )


async def _read_audio(
    request: AnyRequest, spool: Spool, content_type: str, decoder: Base64Decoder | None
) -> Upload:
    limit = spool.limit if decoder is None else _base64_size(spool.limit)
    async for chunk in read_chunks(request, limit, AudioTooLarge(spool.limit)):
        await spool.write(chunk if decoder is None else decoder.feed(chunk))
    if decoder is not None:
        await spool.write(decoder.finish())
        content_type = decoder.content_type or content_type
    return _upload(request, spool, content_type, None)


def _upload(
    request: AnyRequest, spool: Spool, content_type: str | None, filename: str | None
) -> Upload:
    # Without parameters: these are unchecked text, and would reach Postgres, S3 and subscribers.
    media_type = media_type_of(content_type or _UNTYPED)
    if not is_accepted(media_type):
        raise ContentTypeRefused(UPLOAD.documented)
    return Upload(spool, media_type, request.query_params.get("filename") or filename)


def _base64_size(size: int) -> int:
    """Returns the largest size of `size` bytes as base64 with line breaks and a `data:` prefix."""
    return size * 3 // 2 + 1024


class DiscardingSink:
    """Sink of the file part of a body that should contain JSON only."""

    async def write(self, chunk: bytes) -> None:
        """Discards the chunk."""


def envelope_of(document: Document) -> Document:
    """Normalises the keys of an envelope, which may also be written `Data` or `Auth-Token`."""
    return {key.lower().replace("-", "_"): value for key, value in document.items()}


def data_of(body: bytes, *, is_stored: bool = True) -> Document:
    """Returns the `data` of an envelope; an empty object without a body or without `data`."""
    return _data_of_envelope(_decode_envelope(body), body, is_stored=is_stored)


def _decode_envelope(body: bytes) -> Document:
    return envelope_of(decode_object(body)) if body.strip() else {}


def _data_of_envelope(envelope: Document, body: bytes, *, is_stored: bool = True) -> Document:
    data = envelope.get("data")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise MalformedBody("data must be an object")
    # The token is not part of the document: it would be stored and sent in events.
    data.pop("auth_token", None)
    return check_storable(data, body) if is_stored else data
