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
    JSON,
    JSON_TYPES,
    MULTIPART_TYPES,
    UPLOAD,
    ZIP_TYPE,
    Media,
)
from service.api.kazoo.envelope import EventPage, Success, SuccessPage
from service.api.kazoo.openapi import sample_requests, samples
from service.api.kazoo.openapi.parameters import header_refs
from service.api.kazoo.waveforms import PICTURE_TYPE
from service.api.kazoo.wire.documents import DocumentMetadata, document_metadata
from service.api.kazoo.wire.waveforms import WaveformData
from service.usecases.exports import ARCHIVE_TYPE

Examples = Mapping[str, Mapping[str, Any]]

# Generators read these types. The description of a body names the others that are accepted.
_JSON, _MULTIPART, _BYTES = "application/json", "multipart/form-data", "application/octet-stream"
_AUDIO: Json = {"type": "string", "format": "binary", "minLength": 1}
_PARTS = "Names and order of the parts are ignored: the part whose type is JSON is the metadata"

_ANYTHING: Json = {"type": "object", "additionalProperties": True}
# A DELETE accepts the envelope that KAZOO clients send with every method.
IGNORED_BODY: Json = {
    "description": "Ignored, except for an `auth_token`",
    "required": False,
    "content": {_JSON: {"schema": _ANYTHING, "example": {"data": {}}}},
}


def envelope(data: Json, examples: Examples, *, required: bool = True, media: Media = JSON) -> Json:
    """Returns a JSON body with `data` in its envelope; `examples` are examples of `data`."""
    return _body({_JSON: _json(data, examples, required)}, media.accepts, required)


def upload(data: Json, examples: Examples, *, json_alone: bool, audio_alone: bool = True) -> Json:
    """Returns a body with audio: multipart with a JSON part, JSON alone, or audio alone."""
    multipart = {
        "schema": {
            "type": "object",
            "properties": {"metadata": _enveloped(data, not audio_alone), "audio": _AUDIO},
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
    content: Json = {_MULTIPART: multipart}
    accepted = UPLOAD.accepts
    if json_alone:
        content[_JSON] = _json(data, examples, not audio_alone)
    else:
        accepted -= JSON_TYPES
    if audio_alone:
        content[_BYTES] = {"schema": _AUDIO}
    else:
        accepted &= JSON_TYPES | MULTIPART_TYPES
    return _body(content, accepted, not (json_alone and audio_alone))


def _body(content: Json, accepted: frozenset[str], required: bool) -> Json:
    """Returns a request body. Its description names the accepted types without a schema."""
    others = ", ".join(f"`{name}`" for name in sorted(accepted - content.keys() - {""}))
    return {"required": required, "description": f"Also accepted: {others}", "content": content}


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
    """Returns a response with `data`; `revision` and `metadata` are examples."""
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
        """Returns a response with further headers, or with a document that has further fields."""
        example = self.example | extras
        times = (sample_requests.CREATED, sample_requests.CREATED)
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
    """Returns the responses of a list: a page, or 304 if the client has it.

    Without an example, the list is empty.
    """
    examples = [] if example is None else [example]
    properties: Json = {"data": {"type": "array", "items": rows}}
    required = ["data", "revision"]
    if metadata:
        properties["metadata"] = {"type": "object"}
        required.append("metadata")
    page = SuccessPage(
        data=examples,
        revision=sample_requests.LIST_REVISION,
        metadata={} if metadata else UNSET,
        page_size=len(examples),
        **samples.FRAME,
    )
    response = _response(description, _content(page, properties, required), ("ETag",))
    return {200: response, 304: not_modified()}


def events(example: Json) -> Json:
    """Returns a response with events: a page as JSON, or a stream."""
    properties: Json = {"data": {"type": "array", "items": ref("CloudEvent")}}
    page = EventPage(data=[example], next_cursor="1.17", **samples.FRAME)
    content = _content(page, properties, ["data"])
    content["text/event-stream"] = {"schema": {"type": "string"}}
    return _response("A page of events, or a stream of events", content)


def audio(description: str, *headers: str) -> Json:
    """Returns a response with audio of the stored type."""
    # Generators read the bytes of the first type only.
    content = {kind: {"schema": _AUDIO} for kind in (_BYTES, "audio/*")}
    return _response(description, content, headers)


def waveform(example: WaveformData) -> Json:
    """Returns a response with a waveform, as JSON or as a picture."""
    response = success(
        ref(WaveformData),
        example,
        description="The waveform",
        headers=("ETag",),
    )
    response["content"][PICTURE_TYPE] = {"schema": _AUDIO}
    return response


def archive(description: str) -> Json:
    """Returns a response with a ZIP archive."""
    return _response(description, {ZIP_TYPE: {"schema": _AUDIO}}, ("Content-Disposition",))


def export_archive(description: str, *headers: str) -> Json:
    """Returns a response with an archive of an account."""
    return _response(description, {ARCHIVE_TYPE: {"schema": _AUDIO}}, headers)


def not_modified() -> Json:
    """Returns a 304 response."""
    return {"description": "The client has the current version", "headers": header_refs("ETag")}


def redirect() -> Json:
    """Returns a response that redirects to the audio."""
    headers = header_refs("X-Request-ID", "Location")
    return {"description": "The audio is at the URL in `Location`", "headers": headers}


def link(operation: str, description: str, **parameters: str) -> Json:
    """Returns a link to an operation. The default account is the account of the request."""
    account = {"account_id": "$request.path.account_id"}
    return {
        "operationId": operation,
        "parameters": account | parameters,
        "description": description,
    }


def document_links(parameter: str, noun: str, label: str, **others: tuple[str, str]) -> Json:
    """Links from a new document to the operations on it, which take its id in `parameter`."""
    targets = {
        "get": (f"get_{noun}", f"Get the {label}"),
        "replace": (f"replace_{noun}", "Replace all settings"),
        "patch": (f"patch_{noun}", "Change some settings"),
        "delete": (f"delete_{noun}", f"Delete the {label}"),
        **others,
    }
    return {
        name: link(operation, description, **{parameter: "$response.body#/data/id"})
        for name, (operation, description) in targets.items()
    }


def _json(data: Json, examples: Examples, required: bool) -> Json:
    values = {name: {"value": {"data": example}} for name, example in examples.items()}
    return {"schema": _enveloped(data, required), "examples": values}


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
