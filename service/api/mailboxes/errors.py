"""One table from what can go wrong to what this dialect answers; the nearest ancestor wins."""

from collections.abc import Callable
from typing import Any

from litestar.exceptions import HTTPException

from service.api.body.multipart import MetadataTooLarge
from service.api.http.ranges import RangeNotSatisfiable
from service.api.mailboxes.envelope import Refusal
from service.api.middleware.body_rate import ClientTooSlow
from service.domain.errors import (
    AudioTooLarge,
    Conflict,
    DocumentTooLarge,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Refused,
    Rule,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    VoicemailError,
)

RETRY_AFTER_S = 2

# The rules that this dialect names; whatever else is wrong with a value is its format.
_RULES = {
    Rule.REQUIRED: "required",
    Rule.TYPE: "type",
    Rule.MIN_LENGTH: "minLength",
    Rule.MAX_LENGTH: "maxLength",
    Rule.ENUM: "enum",
    Rule.NOT_FOUND: "not_found",
    Rule.UNIQUE: "unique",
}
_FORMAT = "format"
# What the core finds out has the core's names.
_FIELDS = {"media.unavailable": "greeting"}

Row = Callable[[Any], Refusal]


def _plain(status: int, **headers: str) -> Row:
    return lambda _error: Refusal(status=status, headers=headers)


def _invalid(error: Invalid) -> Refusal:
    """Each field with the first of the rules that it breaks."""
    errors: dict[str, str] = {}
    for problem in error.problems:
        field = _FIELDS.get(problem.field, problem.field)
        errors.setdefault(field, _RULES.get(problem.rule, _FORMAT))
    return Refusal(status=400, errors=errors)


def _no_such_range(error: RangeNotSatisfiable) -> Refusal:
    return Refusal(status=416, headers={"Content-Range": f"bytes */{error.size}"})


TABLE: dict[type[Exception], Row] = {
    VoicemailError: _plain(500),
    NotFound: _plain(404),
    Conflict: _plain(409),
    PreconditionFailed: _plain(412),
    Refused: _plain(400),
    Invalid: _invalid,
    AudioTooLarge: _plain(413),
    DocumentTooLarge: _plain(413),
    MetadataTooLarge: _plain(413),
    Unauthorized: _plain(401),
    Forbidden: _plain(403),
    TooManyRequests: lambda error: Refusal(status=429, headers={"Retry-After": str(error.wait_s)}),
    Unavailable: _plain(503, **{"Retry-After": str(RETRY_AFTER_S)}),
    ClientTooSlow: _plain(408, Connection="close"),
    RangeNotSatisfiable: _no_such_range,
}


def refusal_of(error: Exception) -> Refusal:
    """The refusal for any error, those of the HTTP layer and our own faults included."""
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if row is not None:
        return row(error)
    if isinstance(error, HTTPException):
        return Refusal(status=error.status_code, headers=dict(error.headers or {}))
    return Refusal(status=500)
