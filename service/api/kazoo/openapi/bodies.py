"""Request bodies and successful responses of this dialect."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, to_builtins

from service.api.description.openapi.fields import Json
from service.api.description.openapi.structs import ref
from service.api.kazoo.accept import (
    AUDIO,
    BASE64_TYPES,
    JSON,
    JSON_TYPES,
    MULTIPART_TYPES,
    UPLOAD,
    ZIP_TYPE,
    Media,
)
from service.api.kazoo.envelope import EventPage, Success, SuccessPage
from service.api.kazoo.openapi import samples
from service.api.kazoo.openapi.parameters import header_refs
from service.api.kazoo.wire.documents import DocumentMetadata, document_metadata

Examples = Mapping[str, Mapping[str, Any]]

_JSON = "application/json"
_PLAIN_JSON = frozenset({_JSON, "application/x-json"})
_BYTES: Json = {"type": "string", "format": "binary", "minLength": 1}
_PARTS = "Names and order of the parts are ignored: the part whose type is JSON is the metadata"
_BASE64: Json = {"type": "string", "description": "The audio as base64, or as a `data:` URI"}
_EVENT = "CloudEvents 1.0, as subscribers on NATS receive it"


def envelope(data: Json, examples: Examples, *, required: bool = True, media: Media = JSON) -> Json:
    """A JSON body with `data` in its envelope; `examples` are examples of `data`."""
    content = _json(data, examples, media, required=required)
    part = {
        "schema": {
            "type": "object",
            "properties": {"metadata": _enveloped(data, required)},
            "required": ["metadata"] if required else [],
            "additionalProperties": False,
            "description": _PARTS,
        },
        "encoding": {"metadata": {"contentType": _JSON}},
    }
    content |= dict.fromkeys(sorted(media.accepts & MULTIPART_TYPES), part)
    return {"required": required, "content": content}


def upload(data: Json, examples: Examples, *, json_alone: bool, audio_alone: bool = True) -> Json:
    """A body with audio: multipart with a JSON part, JSON alone, or audio alone."""
    multipart = {
        "schema": {
            "type": "object",
            "properties": {"metadata": _enveloped(data, not audio_alone), "audio": _BYTES},
            "required": [
                *([] if audio_alone else ["metadata"]),
                *([] if json_alone else ["audio"]),
            ],
            "additionalProperties": False,
            "description": _PARTS,
        },
        "encoding": {
            "metadata": {"contentType": _JSON},
            "audio": {"contentType": ", ".join(AUDIO.returns)},
        },
    }
    content = _json(data, examples, UPLOAD, required=not audio_alone) if json_alone else {}
    content |= dict.fromkeys(sorted(UPLOAD.accepts & MULTIPART_TYPES), multipart)
    if audio_alone:
        content |= {kind: {"schema": _BYTES} for kind in AUDIO.returns}
        content |= {kind: {"schema": _BASE64} for kind in sorted(UPLOAD.accepts & BASE64_TYPES)}
    return {"required": not (json_alone and audio_alone), "content": content}


def success(
    data: Json,
    example: object,
    *,
    description: str,
    revision: str | None = None,
    metadata: object = None,
    headers: tuple[str, ...] = (),
    links: Json | None = None,
) -> Json:
    """A response with `data`; `revision` and `metadata` are examples."""
    required, properties = ["data"], {"data": data}
    if revision is not None:
        required.append("revision")
    if metadata is not None:
        required.append("metadata")
        properties["metadata"] = ref(DocumentMetadata)
    example = Success(
        data=example,
        revision=UNSET if revision is None else revision,
        metadata=UNSET if metadata is None else metadata,
        **samples.FRAME,
    )
    return _response(description, _content(example, properties, required), headers, links)


class DocumentResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Responses with one document: the component of its schema, and an example."""

    schema: str
    example: Json
    revision: str
    headers: tuple[str, ...] = ()
    has_metadata: bool = True

    def describe(
        self,
        description: str,
        *headers: str,
        schema: str | None = None,
        extras: Json = {},  # noqa: B006
        links: Json | None = None,
    ) -> Json:
        """A response with further headers, or with a document that has further fields."""
        example = self.example | extras
        times = (samples.CREATED, samples.CREATED)
        is_deleted = "_read_only" in example
        metadata = document_metadata(UUID(example["id"]), *times, is_deleted=is_deleted)
        return success(
            ref(schema or self.schema),
            example,
            description=description,
            revision=self.revision,
            metadata=metadata if self.has_metadata else None,
            headers=(*self.headers, *headers),
            links=links,
        )


def pages(
    rows: Json, example: object, *, description: str, metadata: bool = False
) -> dict[int, Json]:
    """The responses of a list: a page, or 304 if the client has it."""
    properties: Json = {"data": {"type": "array", "items": rows}}
    required = ["data", "revision"]
    if metadata:
        properties["metadata"] = {"type": "object"}
        required.append("metadata")
    page = SuccessPage(
        data=[example],
        revision=samples.LIST_REVISION,
        metadata={} if metadata else UNSET,
        page_size=1,
        **samples.FRAME,
    )
    response = _response(description, _content(page, properties, required), ("ETag",))
    return {200: response, 304: not_modified()}


def events(example: Json) -> Json:
    """A response with events: a page as JSON, or a stream."""
    properties: Json = {
        "data": {"type": "array", "items": {"type": "object", "description": _EVENT}}
    }
    page = EventPage(data=[example], next_cursor="1.17", **samples.FRAME)
    content = _content(page, properties, ["data"])
    content["text/event-stream"] = {"schema": {"type": "string"}}
    return _response("A page of events, or a stream of events", content)


def audio(description: str, *headers: str) -> Json:
    """A response with audio of the stored type."""
    content = {kind: {"schema": _BYTES} for kind in AUDIO.returns}
    return _response(description, content, headers)


def archive(description: str) -> Json:
    """A response with a ZIP archive."""
    return _response(description, {ZIP_TYPE: {"schema": _BYTES}}, ("Content-Disposition",))


def not_modified() -> Json:
    """A 304 response."""
    return {"description": "The client has the current version", "headers": header_refs("ETag")}


def link(operation: str, description: str, **parameters: str) -> Json:
    """A link to an operation; the default account is that of the request."""
    account = {"account_id": "$request.path.account_id"}
    return {
        "operationId": operation,
        "parameters": account | parameters,
        "description": description,
    }


def links_by_id(parameter: str, targets: Mapping[str, tuple[str, str]]) -> Json:
    """Links from a new document to operations that take its id in `parameter`."""
    return {
        name: link(operation, description, **{parameter: "$response.body#/data/id"})
        for name, (operation, description) in targets.items()
    }


def _json(data: Json, examples: Examples, media: Media, *, required: bool) -> Json:
    """A JSON body under each of the content types that clients send."""
    schema = _enveloped(data, required)
    values = {name: {"value": {"data": example}} for name, example in examples.items()}
    plain = {"schema": schema, "examples": values}
    # An object schema would make tools encode a form; the body is JSON text.
    json_text = {
        "schema": {
            "type": "string",
            "contentMediaType": _JSON,
            "contentSchema": schema,
            "description": "The same JSON text, from clients that do not declare its type",
        }
    }
    names = sorted(media.accepts & (JSON_TYPES | {ZIP_TYPE}) - {""})
    return {name: plain if name in _PLAIN_JSON else json_text for name in names}


def _enveloped(data: Json, required: bool) -> Json:
    if required:
        return {"type": "object", "properties": {"data": data}, "required": ["data"]}
    # Absent data and null mean an empty object.
    return {"type": "object", "properties": {"data": {"anyOf": [data, {"type": "null"}]}}}


def _content(example: Success, properties: Json, required: list[str]) -> Json:
    shape = {"type": "object", "properties": properties, "required": required}
    schema = {"allOf": [ref(type(example)), shape]}
    return {_JSON: {"schema": schema, "example": to_builtins(example)}}


def _response(
    description: str, content: Json, headers: tuple[str, ...] = (), links: Json | None = None
) -> Json:
    response = {
        "description": description,
        "headers": header_refs("X-Request-ID", *headers),
        "content": content,
    }
    return response if links is None else {**response, "links": links}
