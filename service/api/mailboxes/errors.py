"""Table of the error responses of this dialect. The nearest ancestor of an error applies."""

from collections.abc import Callable
from typing import Any

from litestar.exceptions import HTTPException

from service.api.body.multipart import MetadataTooLarge
from service.api.http.ranges import RangeNotSatisfiable
from service.api.mailboxes.envelope import MailboxRefusal
from service.api.middleware.body_rate import ClientTooSlow
from service.domain.audio_errors import (
    AudioTooLarge,
    AudioUnreadable,
    ConversionUnavailable,
    FormatNotAcceptable,
    WaveformUnavailable,
)
from service.domain.errors import (
    Conflict,
    ContentEncodingRefused,
    ContentTypeRefused,
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
from service.domain.move import AccountMoved
from service.domain.rendition import RenditionFormat

RETRY_AFTER_S = 2

# Rules with a name in this dialect. All others are reported as `format`.
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
# Field names of the domain and of this dialect.
_FIELDS = {"media.unavailable": "greeting"}

Row = Callable[[Any], MailboxRefusal]


def _refuse(status: int, **headers: str) -> Row:
    return lambda _error: MailboxRefusal(status=status, headers=headers)


def _refuse_invalid(error: Invalid) -> MailboxRefusal:
    """Names the first broken rule of each field."""
    errors: dict[str, str] = {}
    for problem in error.problems:
        field = _FIELDS.get(problem.field, problem.field)
        errors.setdefault(field, _RULES.get(problem.rule, _FORMAT))
    return MailboxRefusal(status=400, errors=errors)


def _refuse_too_many_requests(error: TooManyRequests) -> MailboxRefusal:
    return MailboxRefusal(status=429, headers={"Retry-After": str(error.wait_s)})


def _refuse_type(error: ContentTypeRefused) -> MailboxRefusal:
    return MailboxRefusal(status=415, headers={"Accept": ", ".join(error.accepted)})


def _refuse_format(error: FormatNotAcceptable) -> MailboxRefusal:
    types = dict.fromkeys(target.content_type for target in RenditionFormat)
    stored = [error.stored_type] if error.stored_type else []
    return MailboxRefusal(
        status=406, errors={"accept": ", ".join(dict.fromkeys([*stored, *types]))}
    )


def _refuse_range(error: RangeNotSatisfiable) -> MailboxRefusal:
    return MailboxRefusal(status=416, headers={"Content-Range": f"bytes */{error.size}"})


TABLE: dict[type[Exception], Row] = {
    VoicemailError: _refuse(500),
    NotFound: _refuse(404),
    Conflict: _refuse(409),
    PreconditionFailed: _refuse(412),
    Refused: _refuse(400),
    Invalid: _refuse_invalid,
    ContentTypeRefused: _refuse_type,
    ContentEncodingRefused: _refuse(415, **{"Accept-Encoding": "identity"}),
    AudioUnreadable: _refuse(422),
    FormatNotAcceptable: _refuse_format,
    ConversionUnavailable: _refuse(501),
    WaveformUnavailable: _refuse(501),
    AudioTooLarge: _refuse(413),
    DocumentTooLarge: _refuse(413),
    MetadataTooLarge: _refuse(413),
    Unauthorized: _refuse(401),
    Forbidden: _refuse(403),
    TooManyRequests: _refuse_too_many_requests,
    AccountMoved: _refuse(308),
    Unavailable: _refuse(503, **{"Retry-After": str(RETRY_AFTER_S)}),
    ClientTooSlow: _refuse(408, Connection="close"),
    RangeNotSatisfiable: _refuse_range,
}


def refusal_of(error: Exception) -> MailboxRefusal:
    """Returns the response to any error, including errors of Litestar and unexpected ones."""
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if row is not None:
        return row(error)
    if isinstance(error, HTTPException):
        return MailboxRefusal(status=error.status_code, headers=dict(error.headers or {}))
    return MailboxRefusal(status=500)
