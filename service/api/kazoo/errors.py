"""One table from what can go wrong to what this dialect answers; the nearest ancestor wins."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec

from service.api.body.multipart import (
    MalformedBase64,
    MalformedBody,
    MetadataTooLarge,
    PartLimitExceeded,
    TooManyFiles,
)
from service.api.kazoo.envelope import Refusal
from service.api.kazoo.times import gregorian
from service.api.middleware.body_rate import ClientTooSlow
from service.api.middleware.deadline import DeadlineExceeded
from service.domain.errors import (
    AccountHasChildren,
    AccountIsRoot,
    AccountNotFound,
    AudioEmpty,
    AudioMissing,
    AudioTooLarge,
    Conflict,
    CredentialsInvalid,
    DnsUnavailable,
    DocumentTooLarge,
    Forbidden,
    GreetingHasNoAudio,
    GreetingInUse,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    Invalid,
    MessageExpired,
    NoAudio,
    NotFound,
    PreconditionFailed,
    Problem,
    Refused,
    Rule,
    TokenInvalid,
    TooManyPending,
    TooManyPings,
    TooManyRequests,
    TooManySignIns,
    TooManyUploads,
    TooManyWebhooks,
    Unauthorized,
    Unavailable,
    VmboxFull,
    VoicemailError,
)

RETRY_AFTER_S = 2

_TEXTS: dict[Rule, str] = {
    Rule.REQUIRED: "Field is required but missing",
    Rule.TYPE: "Value did not match type(s): {target}",
    Rule.MIN_LENGTH: "String must be at least {target} characters",
    Rule.MAX_LENGTH: "String must not be more than {target} characters",
    Rule.MINIMUM: "Value must be at least {target}",
    Rule.MAXIMUM: "Value must be at most {target}",
    Rule.MAX_ITEMS: "The list is more than {target} items",
    Rule.ENUM: "Value not found in enumerated list of values",
    Rule.WRONG_FORMAT: "Field is not in the correct format",
    Rule.UNIQUE: "{field} already exists",
    Rule.DATE_RANGE: "The time is out of range",
    Rule.NOT_FOUND: "There is no such thing",
    Rule.FORBIDDEN_TARGET: "The address leads where it may not",
}
_FIELD_TEXTS = {
    ("mailbox", Rule.UNIQUE): "Invalid mailbox number or already exists",
    ("messages", Rule.REQUIRED): "No array of message ids are specified",
    ("source_id", Rule.REQUIRED): "empty source_id is specified. "
    "please set a single or a list of source_ids.",
}
_WITH_CAUSE = frozenset({Rule.MIN_LENGTH, Rule.MAX_LENGTH, Rule.DATE_RANGE})

Row = Callable[[Any], Refusal]


def validation(details: dict[str, dict[str, Any]], status: int = 400) -> Refusal:
    """A refusal that maps dotted fields to the rules they break."""
    return Refusal(status=status, word="validation error", data=details)


def _invalid(error: Invalid) -> Refusal:
    details: dict[str, dict[str, Any]] = {}
    for problem in error.problems:
        details.setdefault(problem.field, {})[problem.rule] = _problem(problem)
    return validation(details)


def _problem(problem: Problem) -> dict[str, Any]:
    value = problem.value
    if isinstance(value, datetime):
        value = gregorian(value)
    text = problem.message or _FIELD_TEXTS.get((problem.field, problem.rule))
    shown: dict[str, Any] = {
        "message": text or _TEXTS[problem.rule].format(target=problem.target, field=problem.field),
    }
    if problem.target is not None:
        # A format has its own key in KAZOO's refusals.
        shown["format" if problem.rule is Rule.WRONG_FORMAT else "target"] = problem.target
    if problem.rule in _WITH_CAUSE:
        shown["cause"] = value
    if problem.rule is Rule.REQUIRED:
        shown["value"] = {}
    elif problem.rule not in (Rule.UNIQUE, Rule.DATE_RANGE):
        shown["value"] = value
    return shown


def _not_found(error: NotFound) -> Refusal:
    return Refusal(
        status=404,
        word="bad_identifier",
        data={"message": "bad identifier", "cause": error.cause},
    )


def _account_not_found(error: AccountNotFound) -> Refusal:
    if len(error.cause) == 32:
        return _not_found(error)
    text = f"invalid account_id '{error.cause[:64]}'"
    return Refusal(status=404, word="bad identifier", data={"message": text})


def _audio_missing(_error: AudioMissing) -> Refusal:
    return _not_found(NotFound("voicemail message does not have any audio file"))


def _full(error: VmboxFull) -> Refusal:
    data = {"max_message_count": error.max_message_count, "message_count": error.message_count}
    return Refusal(status=409, word="mailbox_full", data=data)


def _expired(error: MessageExpired) -> Refusal:
    text = "cannot make changes to messages prior to retention duration"
    rule = {"date_range": {"message": text, "cause": gregorian(error.retained_since)}}
    return validation({error.message_id: rule})


def _too_large(error: AudioTooLarge | MetadataTooLarge) -> Refusal:
    text = f"Payload or Files must not be more than {error.limit} bytes"
    return validation({"file": {"maxSize": {"message": text, "target": error.limit}}}, status=413)


def _document_too_large(error: DocumentTooLarge) -> Refusal:
    text = f"Payload or Files must not be more than {error.limit} bytes"
    return validation({"data": {"maxSize": {"message": text, "target": error.limit}}}, status=413)


def _unavailable(error: Unavailable) -> Refusal:
    return Refusal(
        status=503,
        word="datastore_unreachable",
        data={"message": str(error)},
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _busy(error: Unavailable) -> Refusal:
    return msgspec.structs.replace(_unavailable(error), word="service_unavailable")


def _file(rule: str, text: str) -> Refusal:
    return validation({"file": {rule: {"message": text}}})


def malformed(text: str) -> Refusal:
    """The body cannot be read."""
    return validation({"json": {"invalid": {"message": text, "target": "body"}}})


def _plain(status: HTTPStatus, word: str, text: str) -> Row:
    return lambda _error: Refusal(status=status, word=word, data={"message": text})


TABLE: dict[type[Exception], Row] = {
    NotFound: _not_found,
    AccountNotFound: _account_not_found,
    AudioMissing: _audio_missing,
    GreetingHasNoAudio: lambda _error: _not_found(NotFound("media does not have any audio file")),
    Conflict: _plain(HTTPStatus.CONFLICT, "datastore_conflict", "conflicting documents"),
    AccountHasChildren: _plain(
        HTTPStatus.CONFLICT, "account_has_descendants", "account has descendants"
    ),
    AccountIsRoot: _plain(HTTPStatus.CONFLICT, "account_is_root", "the root account stays"),
    GreetingInUse: lambda error: Refusal(
        status=409, word="media_in_use", data={"message": str(error)}
    ),
    PreconditionFailed: _plain(
        HTTPStatus.PRECONDITION_FAILED, "precondition_failed", "precondition failed"
    ),
    VmboxFull: _full,
    NoAudio: lambda error: Refusal(status=409, word="no_audio", data={"message": str(error)}),
    TooManyPending: lambda error: Refusal(
        status=409, word="too_many_pending", data={"message": str(error), "limit": error.limit}
    ),
    TooManyWebhooks: lambda error: Refusal(
        status=409, word="too_many_webhooks", data={"message": str(error), "limit": error.limit}
    ),
    IdempotencyKeyInUse: lambda error: Refusal(
        status=409,
        word="idempotency_key_in_use",
        data={"message": str(error)},
        headers={"Retry-After": str(RETRY_AFTER_S)},
    ),
    IdempotencyKeyReused: lambda error: Refusal(
        status=422, word="idempotency_key_reused", data={"message": str(error)}
    ),
    Refused: lambda error: validation({"data": {"invalid": {"message": str(error)}}}),
    Invalid: _invalid,
    AudioTooLarge: _too_large,
    AudioEmpty: lambda _error: _file("required", "Please provide a media file"),
    DocumentTooLarge: _document_too_large,
    MessageExpired: _expired,
    Unauthorized: _plain(HTTPStatus.UNAUTHORIZED, "invalid_credentials", "invalid credentials"),
    CredentialsInvalid: _plain(
        HTTPStatus.UNAUTHORIZED, "invalid_credentials", "invalid credentials"
    ),
    TokenInvalid: lambda _error: Refusal(status=401, word="invalid credentials"),
    Forbidden: _plain(HTTPStatus.FORBIDDEN, "forbidden", "forbidden"),
    TooManyRequests: lambda error: http_refusal(429, {"Retry-After": str(error.wait_s)}),
    Unavailable: _unavailable,
    TooManySignIns: _busy,
    TooManyUploads: _busy,
    TooManyPings: _busy,
    DnsUnavailable: _busy,
    DeadlineExceeded: _busy,
    ClientTooSlow: lambda _error: Refusal(
        status=408,
        word="request_timeout",
        data={"message": "the body came too slowly"},
        headers={"Connection": "close"},
    ),
    VoicemailError: _plain(
        HTTPStatus.INTERNAL_SERVER_ERROR, "unspecified_fault", "unspecified fault"
    ),
    MalformedBody: lambda error: malformed(error.reason),
    MalformedBase64: lambda _error: _file("encoding", "failed to decode base64 data"),
    TooManyFiles: lambda _error: _file("maxItems", "Please provide a single media file"),
    PartLimitExceeded: lambda error: malformed(error.reason),
    MetadataTooLarge: _too_large,
}

# What the HTTP layer itself refuses, by status.
_HTTP_WORDS: dict[int, tuple[str, str]] = {
    400: ("validation error", "bad request"),
    404: ("not_found", "not found"),
    405: ("invalid_method", "method not allowed"),
    406: ("not_acceptable", "not acceptable"),
    410: ("gone", "gone"),
    413: ("payload_too_large", "payload too large"),
    415: ("unsupported_media_type", "unsupported media type"),
    416: ("range not satisfiable", ""),
    429: ("too_many_requests", "too many requests"),
    500: ("unspecified_fault", "unspecified fault"),
    503: ("datastore_unreachable", "service unavailable"),
}


def refusal_of(error: Exception) -> Refusal | None:
    """The refusal for an error that the table knows, itself or by its nearest ancestor."""
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    return None if row is None else row(error)


def http_refusal(status: int, headers: dict[str, str] | None = None) -> Refusal:
    """The refusal for a status that the HTTP layer chose."""
    word, text = _HTTP_WORDS.get(status, ("unspecified_fault", "unspecified fault"))
    data = {"message": text} if text else {}
    return Refusal(status=status, word=word, data=data, headers=headers or {})
