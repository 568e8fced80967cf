"""Refusals of operations: the responses to sample errors, with their examples."""

from collections import defaultdict
from http import HTTPStatus

from litestar.exceptions import HTTPException
from msgspec import to_builtins

from service.api.body.multipart import MalformedBase64, MalformedBody, TooManyFiles
from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo.accept import JSON
from service.api.kazoo.envelope import Failure, Refusal
from service.api.kazoo.errors import http_refusal, refusal_of
from service.api.kazoo.openapi import sample_requests, samples
from service.api.kazoo.openapi.parameters import header_refs
from service.api.middleware.body_rate import ClientTooSlow
from service.api.middleware.deadline import DeadlineExceeded
from service.domain.account import Quota
from service.domain.audio_errors import (
    AudioEmpty,
    AudioTooLarge,
    AudioUnreadable,
    ConversionUnavailable,
    FormatNotAcceptable,
    NotAudio,
    WaveformUnavailable,
)
from service.domain.errors import (
    AccountNotFound,
    ContentEncodingRefused,
    ContentTypeRefused,
    CredentialsInvalid,
    DatabaseUnavailable,
    DocumentTooLarge,
    Forbidden,
    Invalid,
    QuotaExceeded,
    Rule,
    SignInLocked,
    StorageUnavailable,
    TokenInvalid,
    TooManyBodies,
    TooManyConversions,
    TooManyRequests,
    TooManyUploads,
)
from service.domain.move import AccountMoved
from service.domain.rendition import RenditionFormat
from service.domain.schema import MAX_DOCUMENT_BYTES

_COMMON_ERRORS: tuple[Exception, ...] = (
    HTTPException(status_code=406),
    HTTPException(status_code=500),
    DatabaseUnavailable(),
    DeadlineExceeded(),
)
_TOKEN_ERRORS: tuple[Exception, ...] = (
    CredentialsInvalid(),
    TokenInvalid(),
    TooManyRequests(wait_s=1),
    SignInLocked(wait_s=900),
)
_ACCOUNT_ERRORS: tuple[Exception, ...] = (
    Forbidden(),
    AccountNotFound(sample_requests.ACCOUNT_ID),
    AccountNotFound("xyz"),
    AccountMoved("https://cell2.example.com"),
)
_BODY_ERRORS: tuple[Exception, ...] = (
    MalformedBody("JSON is malformed: invalid character (byte 9)"),
    ClientTooSlow(),
    DocumentTooLarge(MAX_DOCUMENT_BYTES),
    TooManyBodies(),
    ContentTypeRefused(JSON.documented),
    ContentEncodingRefused(),
)
STORED_BYTES_EXCEEDED = QuotaExceeded(Quota.STORED_BYTES, 1_000_000_000)
UPLOADS: tuple[Exception, ...] = (
    AudioEmpty(),
    NotAudio(),
    TooManyFiles(),
    MalformedBase64(),
    AudioTooLarge(8_000_000),
    TooManyUploads(),
    STORED_BYTES_EXCEEDED,
    StorageUnavailable(),
)
FORMAT_UNKNOWN = Invalid.of(
    "format", Rule.ENUM, target=[target.value for target in RenditionFormat], value="flac"
)
CONVERSIONS: tuple[Exception, ...] = (
    FORMAT_UNKNOWN,
    FormatNotAcceptable("audio/x-wav"),
    AudioUnreadable("malformed"),
    ConversionUnavailable(),
    TooManyConversions(),
)
WAVEFORMS: tuple[Exception, ...] = (
    Invalid.of("points", Rule.WRONG_FORMAT, value="0"),
    AudioUnreadable("malformed"),
    WaveformUnavailable(),
    TooManyConversions(),
)
RANGE_PAST_END = HTTPException(status_code=416)
PROFILE_UNKNOWN = Invalid.of("profile", Rule.ENUM, target=["kazoo", "audian"], value="other")


def responses(operation: Operation) -> dict[int, Json]:
    """Returns the refusals of an operation by status: its own and the common ones."""
    by_status: dict[int, list[Refusal]] = defaultdict(list)
    for error in _errors(operation):
        refusal = _refusal(error)
        by_status[refusal.status].append(refusal)
    return {status: _response(status, refusals) for status, refusals in by_status.items()}


def _errors(operation: Operation) -> tuple[Exception, ...]:
    errors = [*operation.refusals, *_COMMON_ERRORS]
    if "{account_id}" in operation.path:
        errors += _ACCOUNT_ERRORS
    if "profile" in operation.parameters:
        errors.append(PROFILE_UNKNOWN)
    if operation.signed_in:
        errors += _TOKEN_ERRORS
    if operation.body is not None:
        errors += _BODY_ERRORS
    return tuple(errors)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, HTTPException):
        return http_refusal(error.status_code)
    refusal = refusal_of(error)
    assert refusal is not None
    return refusal


def _response(status: int, refusals: list[Refusal]) -> Json:
    codes = sorted({refusal.code for refusal in refusals})
    schema = ref("ValidationFailure" if codes == ["validation error"] else Failure)
    retry = ["Retry-After"] if any("Retry-After" in refusal.headers for refusal in refusals) else []
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}",
        "headers": header_refs("X-Request-ID", *retry),
        "content": {
            "application/json": {
                "schema": schema,
                "examples": _examples(refusals),
            }
        },
    }


def _examples(refusals: list[Refusal]) -> Json:
    examples: Json = {}
    for refusal in refusals:
        name = _example_name(refusal)
        while name in examples:
            name += "_"
        failure = Failure(
            error=str(refusal.status), message=refusal.code, data=refusal.data, **samples.FRAME
        )
        examples[name] = {"value": to_builtins(failure)}
    return examples


def _example_name(refusal: Refusal) -> str:
    """Returns the broken rule, or the code of the error."""
    if refusal.code == "validation error":
        ((field, rules), *_) = refusal.data.items()
        return f"{field}.{next(iter(rules))}"
    return refusal.code.replace(" ", "_")
