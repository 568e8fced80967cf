"""Envelope of this dialect's responses: `result`, `status_code`, `status_message`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Response
from msgspec import UNSET, UnsetType

from service.api.http.encoded_response import EncodedResponse

# The phrases of these statuses differ between Python versions.
_PHRASES = {413: "Payload Too Large", 416: "Range Not Satisfiable"}


class MailboxRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """An error response; `errors` contains the broken rule of each invalid field."""

    status: int
    errors: dict[str, str] = {}
    headers: Mapping[str, str] = {}


class FieldErrors(msgspec.Struct, frozen=True):
    """Result of an error response; empty unless fields are invalid."""

    errors: dict[str, str] | UnsetType = UNSET


class MailboxEnvelope(msgspec.Struct, frozen=True):
    """Envelope of a response."""

    result: Any
    status_code: int
    status_message: str


def envelope(result: Any, status: int) -> MailboxEnvelope:
    return MailboxEnvelope(result, status, status_message(status))


def refusal_envelope(refusal: MailboxRefusal) -> MailboxEnvelope:
    return envelope(FieldErrors(refusal.errors or UNSET), refusal.status)


def respond(
    result: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """Returns a response with this result."""
    return _encode(envelope(result, status), headers or {})


def refuse(refusal: MailboxRefusal) -> Response[bytes]:
    """Returns the error response."""
    return _encode(refusal_envelope(refusal), refusal.headers)


def status_message(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def _encode(content: MailboxEnvelope, headers: Mapping[str, str]) -> Response[bytes]:
    return EncodedResponse(
        msgspec.json.encode(content),
        status_code=content.status_code,
        media_type="application/json",
        headers=dict(headers),
    )
