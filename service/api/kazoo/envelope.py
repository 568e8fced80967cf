"""The envelope of every answer of this dialect, and the words of its refusals.

KAZOO API docs, "Basics of the REST API": data, status, request_id, revision, paging, metadata.
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Response
from litestar.connection import ASGIConnection
from msgspec import UNSET, UnsetType

from service.api.http.times import format_iso
from service.domain.clock import utc_now

AnyConnection = ASGIConnection[Any, Any, Any, Any]

_NODE = os.urandom(8).hex()
_VERSION = version("aftertone")


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """How a page of a list describes itself; keys are opaque to clients."""

    page_size: int
    start_key: str | UnsetType = UNSET
    next_start_key: str | UnsetType = UNSET


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a list of events goes on, and whether the client has missed some."""

    next_cursor: str
    reset: bool


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not a success: status, machine word, details."""

    status: int
    word: str
    data: Any = {}
    headers: Mapping[str, str] = {}


class _Envelope(msgspec.Struct, kw_only=True, omit_defaults=True):
    data: Any | UnsetType = UNSET
    status: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    metadata: Any | UnsetType = UNSET
    page_size: int | UnsetType = UNSET
    start_key: str | UnsetType = UNSET
    next_start_key: str | UnsetType = UNSET
    next_cursor: str | UnsetType = UNSET
    reset: bool | UnsetType = UNSET
    auth_token: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    revision: str | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    node: str | UnsetType = UNSET


def succeed(
    request: AnyConnection,
    data: Any,
    *,
    status: int = 200,
    revision: str | UnsetType = UNSET,
    metadata: Any | UnsetType = UNSET,
    paging: Paging | None = None,
    progress: Progress | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """A success with `data`."""
    envelope = _framed(request)
    envelope.status = "success"
    envelope.data = data
    envelope.revision = revision
    envelope.metadata = metadata
    if paging is not None:
        envelope.page_size = paging.page_size
        envelope.start_key = paging.start_key
        envelope.next_start_key = paging.next_start_key
    if progress is not None:
        envelope.next_cursor = progress.next_cursor
        envelope.reset = progress.reset or UNSET
    return _answer(envelope, status, headers or {})


def refuse(request: AnyConnection, refusal: Refusal) -> Response[bytes]:
    """A refusal with its machine word."""
    envelope = _framed(request)
    envelope.status = "error"
    envelope.error = str(refusal.status)
    envelope.message = refusal.word
    envelope.data = refusal.data
    return _answer(envelope, refusal.status, refusal.headers)


def _framed(request: AnyConnection) -> _Envelope:
    state: dict[str, Any] = request.scope["state"]
    return _Envelope(
        auth_token=state.get("auth_token", UNSET),
        request_id=state.get("request_id", ""),
        timestamp=format_iso(utc_now()),
        version=_VERSION if "auth_token" in state else UNSET,
        node=_NODE,
    )


def _answer(envelope: _Envelope, status: int, headers: Mapping[str, str]) -> Response[bytes]:
    return Response(
        msgspec.json.encode(envelope),
        status_code=status,
        media_type="application/json",
        headers=dict(headers),
    )
