"""Table of errors and their responses in this dialect.

An error whose class is not in the table gets the response of its nearest base class.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from service.api.body.multipart import (
    MalformedBase64,
    MalformedBody,
    MetadataTooLarge,
    PartLimitExceeded,
    TooManyFiles,
)
from service.api.kazoo.accept import AUDIO
from service.api.kazoo.envelope import Refusal
from service.api.kazoo.problems import refuse_invalid, validation
from service.api.kazoo.times import gregorian
from service.api.middleware.body_rate import ClientTooSlow
from service.api.middleware.deadline import DeadlineExceeded
from service.domain.audio_errors import (
    AudioEmpty,
    AudioMissing,
    AudioTooLarge,
    AudioUnreadable,
    ConversionUnavailable,
    DirectUploadUnavailable,
    FormatNotAcceptable,
    GreetingHasNoAudio,
    NoAudio,
    NotAudio,
    RedirectUnavailable,
    UploadMismatch,
    UploadMissing,
    UploadTokenInvalid,
    WaveformUnavailable,
)
from service.domain.errors import (
    AccountHasChildren,
    AccountIsRoot,
    AccountNotFound,
    Conflict,
    ContentEncodingRefused,
    ContentTypeRefused,
    DeletionHeld,
    DnsUnavailable,
    DocumentTooComplex,
    DocumentTooLarge,
    ExportInProgress,
    ExportNotReady,
    Forbidden,
    GreetingInUse,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    Invalid,
    LimitsForbidden,
    LinkInvalid,
    MessageExpired,
    MessageHeld,
    NoGreetingPlays,
    NotFound,
    PinLocked,
    PreconditionFailed,
    QuotaExceeded,
    Refused,
    RestoredNumberTaken,
    SignInLocked,
    TokenInvalid,
    TooManyApiKeys,
    TooManyBodies,
    TooManyConversions,
    TooManyHolds,
    TooManyPending,
    TooManyPings,
    TooManyRequests,
    TooManySignIns,
    TooManyStreams,
    TooManyUploads,
    TooManyWebhooks,
    TranscriptionMissing,
    Unauthorized,
    Unavailable,
    VmboxFull,
    VoicemailError,
)
from service.domain.move import AccountMoved
from service.domain.rendition import RenditionFormat

RETRY_AFTER_S = 2

Row = Callable[[Any], Refusal]


def _refuse_not_found(error: NotFound, cause: str | None = None) -> Refusal:
    data = {"message": "bad identifier", "cause": error.cause if cause is None else cause}
    return Refusal(status=404, code="bad_identifier", data=data)


def _refuse_account_not_found(error: AccountNotFound) -> Refusal:
    if len(error.cause) == 32:
        return _refuse_not_found(error)
    text = f"invalid account_id '{error.cause[:64]}'"
    return Refusal(status=404, code="bad identifier", data={"message": text})


def _refuse_full(error: VmboxFull) -> Refusal:
    data = {"max_message_count": error.max_message_count, "message_count": error.message_count}
    return Refusal(status=409, code="mailbox_full", data=data)


def _refuse_over_limit(code: str) -> Row:
    return lambda error: Refusal(
        status=409, code=code, data={"message": str(error), "limit": error.limit}
    )


def _refuse_expired(error: MessageExpired) -> Refusal:
    text = "cannot make changes to messages prior to retention duration"
    rule = {"date_range": {"message": text, "cause": gregorian(error.retained_since)}}
    return validation({error.message_id: rule})


def _refuse_too_large(field: str) -> Row:
    def refusal(error: AudioTooLarge | DocumentTooLarge | MetadataTooLarge) -> Refusal:
        text = f"Payload or Files must not be more than {error.limit} bytes"
        rule = {"maxSize": {"message": text, "target": error.limit}}
        return validation({field: rule}, status=413)

    return refusal


def _refuse_unavailable(code: str) -> Row:
    return lambda error: Refusal(
        status=503,
        code=code,
        data={"message": str(error)},
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _refuse_until_later(code: str) -> Row:
    return lambda error: Refusal(
        status=429,
        code=code,
        data={"message": str(error)},
        headers={"Retry-After": str(error.wait_s)},
    )


def _refuse_file(rule: str, text: str) -> Row:
    return lambda _error: validation({"file": {rule: {"message": text}}})


def _refuse_type(error: VoicemailError, accepted: Sequence[str]) -> Refusal:
    types = ", ".join(accepted)
    return Refusal(
        status=415,
        code="unsupported_media_type",
        data={"message": f"{error} Accepted types: {types}.", "accepted": list(accepted)},
        headers={"Accept": types},
    )


def _refuse_format(error: FormatNotAcceptable) -> Refusal:
    available = [
        {"format": target.value, "content_type": target.content_type} for target in RenditionFormat
    ]
    data = {"message": str(error), "available": available}
    if error.stored_type:
        data["stored"] = error.stored_type
    return Refusal(status=406, code="not_acceptable", data=data)


def _refuse_encoding(error: ContentEncodingRefused) -> Refusal:
    return Refusal(
        status=415,
        code="unsupported_media_type",
        data={"message": str(error)},
        headers={"Accept-Encoding": "identity"},
    )


def malformed(error: MalformedBody | PartLimitExceeded) -> Refusal:
    """Returns the refusal of a body that cannot be parsed."""
    return validation({"json": {"invalid": {"message": error.reason, "target": "body"}}})


def _refuse(status: HTTPStatus, code: str, text: str | None = None) -> Row:
    """Returns a row with `text` from KAZOO, or with the text of the error if there is none."""
    return lambda error: Refusal(status=status, code=code, data={"message": text or str(error)})


def _refuse_upload(error: VoicemailError) -> Refusal:
    return validation({"upload": {"invalid": {"message": str(error)}}})


_BUSY = _refuse_unavailable("service_unavailable")

TABLE: dict[type[Exception], Row] = {
    NotFound: _refuse_not_found,
    AccountNotFound: _refuse_account_not_found,
    AudioMissing: lambda error: _refuse_not_found(
        error, "voicemail message does not have any audio file"
    ),
    TranscriptionMissing: lambda error: _refuse_not_found(
        error, "voicemail message does not have a transcription"
    ),
    GreetingHasNoAudio: lambda error: _refuse_not_found(
        error, "media does not have any audio file"
    ),
    NoGreetingPlays: lambda error: _refuse_not_found(error, str(error)),
    Conflict: _refuse(HTTPStatus.CONFLICT, "datastore_conflict", "conflicting documents"),
    AccountHasChildren: _refuse(HTTPStatus.CONFLICT, "account_has_descendants"),
    RestoredNumberTaken: lambda error: Refusal(
        status=409,
        code="number_taken",
        data={"message": type(error).__doc__ or "", "numbers": list(error.numbers)},
    ),
    ExportInProgress: _refuse(HTTPStatus.CONFLICT, "export_in_progress"),
    ExportNotReady: _refuse(HTTPStatus.CONFLICT, "export_not_ready"),
    AccountIsRoot: _refuse(HTTPStatus.CONFLICT, "account_is_root"),
    GreetingInUse: _refuse(HTTPStatus.CONFLICT, "media_in_use"),
    PreconditionFailed: _refuse(HTTPStatus.PRECONDITION_FAILED, "precondition_failed"),
    VmboxFull: _refuse_full,
    UploadMissing: _refuse(HTTPStatus.CONFLICT, "upload_missing"),
    NoAudio: _refuse(HTTPStatus.CONFLICT, "no_audio"),
    TooManyPending: _refuse_over_limit("too_many_pending"),
    TooManyWebhooks: _refuse_over_limit("too_many_webhooks"),
    TooManyApiKeys: _refuse_over_limit("too_many_api_keys"),
    TooManyHolds: _refuse_over_limit("too_many_holds"),
    MessageHeld: _refuse(HTTPStatus.CONFLICT, "legal_hold"),
    DeletionHeld: lambda error: Refusal(
        status=409,
        code="legal_hold",
        data={
            "message": str(error),
            "holds": [{"id": key, "name": name} for key, name in error.holds.items()],
        },
    ),
    QuotaExceeded: lambda error: Refusal(
        status=409,
        code="quota_exceeded",
        data={"message": str(error), "quota": error.quota, "limit": error.limit},
    ),
    IdempotencyKeyInUse: lambda error: Refusal(
        status=409,
        code="idempotency_key_in_use",
        data={"message": str(error)},
        headers={"Retry-After": str(RETRY_AFTER_S)},
    ),
    IdempotencyKeyReused: _refuse(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
    Refused: lambda error: validation({"data": {"invalid": {"message": str(error)}}}),
    Invalid: refuse_invalid,
    AudioTooLarge: _refuse_too_large("file"),
    AudioEmpty: _refuse_file("required", "Please provide a media file"),
    ContentTypeRefused: lambda error: _refuse_type(error, error.accepted),
    ContentEncodingRefused: _refuse_encoding,
    NotAudio: lambda error: _refuse_type(error, AUDIO.returns),
    DocumentTooLarge: _refuse_too_large("data"),
    DocumentTooComplex: lambda error: validation(
        {"data": {"maxItems": {"message": str(error), "target": error.limit}}}
    ),
    AudioUnreadable: _refuse(HTTPStatus.UNPROCESSABLE_ENTITY, "audio_unreadable"),
    ConversionUnavailable: _refuse(HTTPStatus.NOT_IMPLEMENTED, "conversion_unavailable"),
    WaveformUnavailable: _refuse(HTTPStatus.NOT_IMPLEMENTED, "waveform_unavailable"),
    FormatNotAcceptable: _refuse_format,
    MessageExpired: _refuse_expired,
    RedirectUnavailable: lambda error: validation(
        {"redirect": {"invalid": {"message": str(error)}}}
    ),
    DirectUploadUnavailable: _refuse_upload,
    UploadTokenInvalid: _refuse_upload,
    UploadMismatch: lambda error: validation({error.field: {"mismatch": {"message": str(error)}}}),
    Unauthorized: _refuse(HTTPStatus.UNAUTHORIZED, "invalid_credentials", "invalid credentials"),
    TokenInvalid: lambda _error: Refusal(status=401, code="invalid credentials"),
    LinkInvalid: _refuse(HTTPStatus.UNAUTHORIZED, "invalid_link"),
    LimitsForbidden: _refuse(HTTPStatus.FORBIDDEN, "forbidden"),
    Forbidden: _refuse(HTTPStatus.FORBIDDEN, "forbidden", "forbidden"),
    TooManyRequests: lambda error: http_refusal(429, {"Retry-After": str(error.wait_s)}),
    TooManyStreams: _refuse_until_later("too_many_streams"),
    SignInLocked: _refuse_until_later("sign_in_locked"),
    PinLocked: _refuse_until_later("pin_locked"),
    Unavailable: _refuse_unavailable("datastore_unreachable"),
    AccountMoved: lambda error: Refusal(
        status=308, code="account_moved", data={"message": str(error), "url": error.url}
    ),
    TooManySignIns: _BUSY,
    TooManyUploads: _BUSY,
    TooManyBodies: _BUSY,
    TooManyConversions: _BUSY,
    TooManyPings: _BUSY,
    DnsUnavailable: _BUSY,
    DeadlineExceeded: _BUSY,
    ClientTooSlow: lambda error: Refusal(
        status=408,
        code="request_timeout",
        data={"message": (type(error).__doc__ or "").strip()},
        headers={"Connection": "close"},
    ),
    VoicemailError: _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "unspecified_fault"),
    MalformedBody: malformed,
    MalformedBase64: _refuse_file("encoding", "failed to decode base64 data"),
    TooManyFiles: _refuse_file("maxItems", "Please provide a single media file"),
    PartLimitExceeded: malformed,
    MetadataTooLarge: _refuse_too_large("file"),
}

_UNKNOWN_FAULT = (
    "unspecified_fault",
    "The request failed; retry it, and report its request id if it fails again",
)
# Errors of the HTTP layer by status: the machine-readable code, and the text.
_HTTP_ERRORS: dict[int, tuple[str, str]] = {
    400: ("validation error", "The request is malformed; correct it"),
    404: ("not_found", "not found"),
    405: ("invalid_method", "method not allowed"),
    406: (
        "not_acceptable",
        "The Accept header excludes all types of the response; allow another type",
    ),
    410: ("gone", "Version 1 of the API was removed; use the paths under /v2"),
    413: ("payload_too_large", "The body is too large; send a smaller body"),
    416: ("range not satisfiable", ""),
    429: ("too_many_requests", "too many requests"),
    503: ("datastore_unreachable", "The service is not available; retry in a moment"),
}


def refusal_of(error: Exception) -> Refusal | None:
    """Returns the refusal of an error, or None if the table has none."""
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    return None if row is None else row(error)


def http_refusal(status: int, headers: dict[str, str] | None = None) -> Refusal:
    """Returns the refusal of an error of the HTTP layer."""
    code, text = _HTTP_ERRORS.get(status, _UNKNOWN_FAULT)
    data = {"message": text} if text else {}
    return Refusal(status=status, code=code, data=data, headers=headers or {})
