"""The envelope of every answer of this dialect: `result`, `status_code`, `status_message`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Response

# What this dialect calls a status where Python's releases differ.
_WORDS = {
    413: "Payload Too Large",
    416: "Range Not Satisfiable",
}


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not a success; `errors` maps fields to the rules that they break."""

    status: int
    errors: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class _Envelope(msgspec.Struct):
    result: Any
    status_code: int
    status_message: str


def answer(
    result: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """An answer with a body."""
    envelope = _Envelope(result, status, message_of(status))
    return Response(
        msgspec.json.encode(envelope),
        status_code=status,
        media_type="application/json",
        headers=dict(headers or {}),
    )


def refuse(refusal: Refusal) -> Response[bytes]:
    """A refusal; its result is empty unless fields are to blame."""
    result = {"errors": refusal.errors} if refusal.errors else {}
    return answer(result, refusal.status, refusal.headers)


def message_of(status: int) -> str:
    """The words for a status."""
    return _WORDS.get(status) or HTTPStatus(status).phrase
