"""Request bodies and successes of this dialect: the envelope around what is meant."""

from collections.abc import Mapping
from typing import Any

from service.api.description.openapi.fields import Json
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
from service.api.kazoo.openapi import samples
from service.api.kazoo.openapi.parameters import header_refs
from service.api.kazoo.openapi.schemas import ref

Examples = Mapping[str, Mapping[str, Any]]

_JSON = "application/json"
_PLAIN_JSON = frozenset({_JSON, "application/x-json"})
_BYTES: Json = {"type": "string", "format": "binary", "minLength": 1}
_PARTS = "Names and order of parts do not matter: the one whose type is JSON is the metadata"
_BASE64: Json = {"type": "string", "description": "The audio as base64, or a `data:` URI of it"}


_EVENT = "CloudEvents 1.0, as the subscribers of NATS get it"
_GOES_ON = (
    "`since` of the next request. A page ends with `page_size` events (1000 without pages) or where"
    " they reach 2 MiB: only an empty one says that there are no more"
)


def envelope(data: Json, examples: Examples, *, required: bool = True, media: Media = JSON) -> Json:
    """A JSON body whose `data` is this; `examples` are of `data`."""
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
    content |= dict.fromkeys(sorted(media.takes & MULTIPART_TYPES), part)
    return {"required": required, "content": content}


def upload(data: Json, examples: Examples, *, alone: bool, bare: bool = True) -> Json:
    """Audio: in a multipart body, beside a JSON part if there is one, or as the whole body.

    `alone` says that JSON alone will do, `bare` that the audio alone will.
    """
    multipart = {
        "schema": {
            "type": "object",
            "properties": {"metadata": _enveloped(data, not bare), "audio": _BYTES},
            "required": [*([] if bare else ["metadata"]), *([] if alone else ["audio"])],
            "additionalProperties": False,
            "description": _PARTS,
        },
        "encoding": {
            "metadata": {"contentType": _JSON},
            "audio": {"contentType": ", ".join(AUDIO.gives)},
        },
    }
    content = _json(data, examples, UPLOAD, required=not bare) if alone else {}
    content |= dict.fromkeys(sorted(UPLOAD.takes & MULTIPART_TYPES), multipart)
    if bare:
        content |= {kind: {"schema": _BYTES} for kind in AUDIO.gives}
        content |= {kind: {"schema": _BASE64} for kind in sorted(UPLOAD.takes & BASE64_TYPES)}
    return {"required": not (alone and bare), "content": content}


def success(
    data: Json,
    example: object,
    *,
    text: str = "Done",
    revision: str | None = None,
    metadata: tuple[Json, Json] | None = None,
    headers: tuple[str, ...] = (),
    links: Json | None = None,
) -> Json:
    """An answer with `data`; `metadata` is the schema and an example of what stands beside it."""
    properties = {"data": data}
    shown = {"data": example, "status": "success", **samples.FRAME}
    needed = ["data"]
    if revision is not None:
        shown["revision"] = revision
        needed.append("revision")
    if metadata is not None:
        properties["metadata"], shown["metadata"] = metadata
        needed.append("metadata")
    shape = {"type": "object", "properties": properties, "required": needed}
    schema = {"allOf": [ref("Success"), shape]}
    return _answer(text, {_JSON: {"schema": schema, "example": shown}}, headers, links)


def pages(rows: Json, example: object, *, text: str, metadata: bool = False) -> dict[int, Json]:
    """The answers of a list: a page of it, or that the client has it."""
    return {200: _page(rows, example, text, metadata=metadata), 304: not_modified()}


def _page(rows: Json, example: object, text: str, *, metadata: bool) -> Json:
    shape: Json = {
        "type": "object",
        "properties": {"data": {"type": "array", "items": rows}},
        "required": ["data"],
    }
    shown = {
        "data": example,
        "status": "success",
        "page_size": 1,
        "revision": samples.LIST_REVISION,
        **samples.FRAME,
    }
    if metadata:
        shape["properties"]["metadata"] = {"type": "object"}
        shape["required"].append("metadata")
        shown["metadata"] = {}
    schema = {"allOf": [ref("Page"), shape]}
    return _answer(text, {_JSON: {"schema": schema, "example": shown}}, ("ETag",), None)


def audio(text: str, *headers: str) -> Json:
    """An answer that is audio of whichever type was stored."""
    content = {kind: {"schema": _BYTES} for kind in AUDIO.gives}
    return _answer(text, content, headers, None)


def happenings(example: Json) -> Json:
    """An answer with events: a page of them as JSON, or a stream of them."""
    shape: Json = {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": {"type": "object", "description": _EVENT}},
            "next_cursor": {"type": "string", "description": _GOES_ON},
            "reset": {"const": True, "description": "Some events were missed: start anew"},
        },
        "required": ["data", "next_cursor"],
    }
    shown = {"data": [example], "status": "success", "next_cursor": "1.17", **samples.FRAME}
    content = {
        _JSON: {"schema": {"allOf": [ref("Success"), shape]}, "example": shown},
        "text/event-stream": {"schema": {"type": "string"}},
    }
    return _answer("What happened, or what happens", content, (), None)


def archive(text: str) -> Json:
    return _answer(text, {ZIP_TYPE: {"schema": _BYTES}}, ("Content-Disposition",), None)


def not_modified() -> Json:
    return {"description": "What one has is current", "headers": header_refs("ETag")}


def link(operation: str, text: str, **parameters: str) -> Json:
    """A link to an operation; the account is that of the request unless it is named."""
    given = {"account_id": "$request.path.account_id", **parameters}
    return {"operationId": operation, "parameters": given, "description": text}


def _json(data: Json, examples: Examples, media: Media, *, required: bool) -> Json:
    """JSON by each of the names that clients give it."""
    schema = _enveloped(data, required)
    shown = {name: {"value": {"data": example}} for name, example in examples.items()}
    plain = {"schema": schema, "examples": shown}
    # A tool that reads "form" would encode one; what is taken is JSON text.
    text = {
        "schema": {
            "type": "string",
            "contentMediaType": _JSON,
            "contentSchema": schema,
            "description": "The same JSON text, as clients send it that do not say what it is",
        }
    }
    names = sorted(media.takes & (JSON_TYPES | {ZIP_TYPE}) - {""})
    return {name: plain if name in _PLAIN_JSON else text for name in names}


def _enveloped(data: Json, required: bool) -> Json:
    if required:
        return {"type": "object", "properties": {"data": data}, "required": ["data"]}
    # No data, and null, are an empty object.
    return {"type": "object", "properties": {"data": {"anyOf": [data, {"type": "null"}]}}}


def _answer(text: str, content: Json, headers: tuple[str, ...], links: Json | None) -> Json:
    answer = {
        "description": text,
        "headers": header_refs("X-Request-ID", *headers),
        "content": content,
    }
    return answer if links is None else {**answer, "links": links}
