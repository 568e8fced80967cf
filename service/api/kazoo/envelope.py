"""Envelopes of the responses of this dialect.

KAZOO API docs, "Basics of the REST API": data, status, request_id, revision, paging, metadata.
"""

import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response
from litestar.connection import ASGIConnection
from msgspec import UNSET, Meta, UnsetType

from service.api.http.encoded_response import EncodedResponse
from service.api.http.times import format_iso
from service.api.kazoo.field_selection import select_fields
from service.api.kazoo.wire.types import DateTimeString
from service.domain.clock import utc_now

AnyConnection = ASGIConnection[Any, Any, Any, Any]

_NODE = os.urandom(8).hex()
_VERSION = version("aftertone")
_WARNINGS = "warnings"
_MAX_WARNINGS = 20


class Envelope(msgspec.Struct, kw_only=True):
    """Fields of every response."""

    request_id: Annotated[str, Meta(description="Equal to `X-Request-ID`")]
    timestamp: DateTimeString
    node: Annotated[str, Meta(description="The id of the process that answered")]
    auth_token: (
        Annotated[str, Meta(description="The token of the request, or the new token")] | UnsetType
    ) = UNSET
    version: (
        Annotated[str, Meta(description="The version of the server; absent without a token")]
        | UnsetType
    ) = UNSET


class FieldWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the request that was not stored as it was sent."""

    field: Annotated[str, Meta(description="The name of the field")]
    rule: Annotated[str, Meta(description="The rule that the value breaks, as in an error")]
    message: Annotated[str, Meta(description="The change of the value")]
    kept: (
        Annotated[Any, Meta(description="The stored value; absent if no value is stored")]
        | UnsetType
    ) = UNSET


class Success(Envelope, kw_only=True):
    """Envelope of a success."""

    status: Literal["success"] = "success"
    data: Any
    revision: Annotated[str, Meta(description="Changes when `data` changes")] | UnsetType = UNSET
    metadata: Any | UnsetType = UNSET
    warnings: (
        Annotated[
            list[FieldWarning], Meta(description="Fields that were not stored as they were sent")
        ]
        | UnsetType
    ) = UNSET


class SuccessPage(Success, kw_only=True):
    """Envelope of a page of a list. Without pagination it has no paging keys."""

    page_size: (
        Annotated[int, Meta(ge=0, description="The number of rows in `data`")] | UnsetType
    ) = UNSET
    start_key: Annotated[str, Meta(description="The cursor of this page")] | UnsetType = UNSET
    next_start_key: (
        Annotated[str, Meta(description="The cursor of the next page, if there is one")] | UnsetType
    ) = UNSET


class EventPage(Success, kw_only=True):
    """Envelope of a page of events."""

    next_cursor: Annotated[
        str,
        Meta(
            description="`since` of the next request. A page ends after `page_size` events (1000"
            " without pagination) or at 2 MiB: only an empty page means that there are no more"
        ),
    ]
    reset: (
        Annotated[bool, Meta(description="True if events were missed: read the lists again")]
        | UnsetType
    ) = UNSET


class Failure(Envelope, kw_only=True):
    """Envelope of a refusal."""

    status: Literal["error"] = "error"
    error: Annotated[str, Meta(description="The HTTP status")]
    message: Annotated[str, Meta(description="A machine-readable error code")]
    data: Annotated[dict[str, Any], Meta(description="Details of the error")]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A response that is not a success: status, machine-readable code, details."""

    status: int
    code: str
    data: dict[str, Any] = {}
    headers: Mapping[str, str] = {}


def succeed(
    request: AnyConnection,
    data: Any,
    *,
    status: int = 200,
    revision: str | UnsetType = UNSET,
    metadata: Any | UnsetType = UNSET,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Returns a success with `data`, or with the fields of it that `?fields=` names."""
    envelope = Success(
        data=select_fields(request, data),
        revision=revision,
        metadata=metadata,
        warnings=request.scope["state"].get(_WARNINGS, UNSET),
        **envelope_fields(request),
    )
    return respond(envelope, status, headers)


def refuse(request: AnyConnection, refusal: Refusal) -> Response[bytes]:
    """Returns a refusal."""
    envelope = Failure(
        error=str(refusal.status),
        message=refusal.code,
        data=refusal.data,
        **envelope_fields(request),
    )
    return respond(envelope, refusal.status, refusal.headers)


def warn(request: AnyConnection, warnings: Iterable[FieldWarning]) -> None:
    """Adds warnings to the success of this request. They are limited to 20."""
    if added := list(warnings):
        state: dict[str, Any] = request.scope["state"]
        state[_WARNINGS] = [*state.get(_WARNINGS, []), *added][:_MAX_WARNINGS]


def envelope_fields(request: AnyConnection) -> dict[str, Any]:
    """Returns the fields that every envelope takes from the request and the process."""
    state: dict[str, Any] = request.scope["state"]
    return {
        "auth_token": state.get("auth_token", UNSET),
        "request_id": state.get("request_id", ""),
        "timestamp": format_iso(utc_now()),
        "version": _VERSION if "auth_token" in state else UNSET,
        "node": _NODE,
    }


def respond(
    envelope: Envelope, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """Returns the response with an envelope as its body."""
    return EncodedResponse(
        msgspec.json.encode(envelope),
        status_code=status,
        media_type="application/json",
        headers=dict(headers or {}),
    )
