"""What an operation may refuse: the real answers to real errors, as responses with examples."""

from collections import defaultdict
from http import HTTPStatus
from typing import Any

from litestar.exceptions import HTTPException

from service.api.body.multipart import MalformedBase64, MalformedBody, TooManyFiles
from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.kazoo.envelope import Refusal
from service.api.kazoo.errors import http_refusal, refusal_of
from service.api.kazoo.openapi import samples
from service.api.kazoo.openapi.parameters import header_refs
from service.api.kazoo.openapi.schemas import ref
from service.api.middleware.body_rate import ClientTooSlow
from service.api.middleware.deadline import DeadlineExceeded
from service.domain.errors import (
    AccountNotFound,
    AudioEmpty,
    AudioTooLarge,
    CredentialsInvalid,
    DatabaseUnavailable,
    DocumentTooLarge,
    Forbidden,
    Invalid,
    Rule,
    StorageUnavailable,
    TokenInvalid,
    TooManyRequests,
    TooManyUploads,
)
from service.domain.schema import MAX_DOCUMENT_BYTES

_ALWAYS: tuple[Exception, ...] = (
    HTTPException(status_code=406),
    HTTPException(status_code=500),
    DatabaseUnavailable(),
    DeadlineExceeded(),
)
_SIGNED_IN: tuple[Exception, ...] = (
    CredentialsInvalid(),
    TokenInvalid(),
    TooManyRequests(wait_s=1),
)
_OF_AN_ACCOUNT: tuple[Exception, ...] = (
    Forbidden(),
    AccountNotFound(samples.ACCOUNT_ID),
    AccountNotFound("xyz"),
)
_WITH_BODY: tuple[Exception, ...] = (
    MalformedBody("JSON is malformed: invalid character (byte 9)"),
    ClientTooSlow(),
    DocumentTooLarge(MAX_DOCUMENT_BYTES),
    HTTPException(status_code=415),
)
UPLOADS: tuple[Exception, ...] = (
    AudioEmpty(),
    TooManyFiles(),
    MalformedBase64(),
    AudioTooLarge(8_000_000),
    TooManyUploads(),
    StorageUnavailable(),
)
RANGE_BEHIND_END = HTTPException(status_code=416)
PROFILE_UNKNOWN = Invalid.of("profile", Rule.ENUM, target=["kazoo", "audian"], value="other")


def responses(operation: Operation) -> dict[int, Json]:
    """The refusals of an operation by status: its own, and those of what it has in common."""
    by_status: dict[int, list[Refusal]] = defaultdict(list)
    for error in _errors(operation):
        refusal = _refusal(error)
        by_status[refusal.status].append(refusal)
    return {status: _response(status, found) for status, found in by_status.items()}


def _errors(operation: Operation) -> tuple[Exception, ...]:
    found = [*operation.refusals, *_ALWAYS]
    if "{account_id}" in operation.path:
        found += _OF_AN_ACCOUNT
    if "profile" in operation.parameters:
        found.append(PROFILE_UNKNOWN)
    if operation.signed_in:
        found += _SIGNED_IN
    if operation.body is not None:
        found += _WITH_BODY
    return tuple(found)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, HTTPException):
        return http_refusal(error.status_code)
    refusal = refusal_of(error)
    assert refusal is not None
    return refusal


def _response(status: int, refusals: list[Refusal]) -> Json:
    words = sorted({refusal.word for refusal in refusals})
    properties: Json = {"error": {"const": str(status)}, "message": {"enum": words}}
    if words == ["validation error"]:
        properties["data"] = ref("BrokenRules")
    shape = {"type": "object", "properties": properties}
    retry = ["Retry-After"] if any("Retry-After" in one.headers for one in refusals) else []
    return {
        "description": HTTPStatus(status).phrase,
        "headers": header_refs("X-Request-ID", *retry),
        "content": {
            "application/json": {
                "schema": {"allOf": [ref("Refusal"), shape]},
                "examples": _examples(refusals),
            }
        },
    }


def _examples(refusals: list[Refusal]) -> Json:
    found: Json = {}
    for refusal in refusals:
        name = _name(refusal)
        while name in found:
            name += "_"
        found[name] = {"value": _envelope(refusal)}
    return found


def _name(refusal: Refusal) -> str:
    """A word that tells the examples of a status apart: the broken rule, else the machine word."""
    if refusal.word == "validation error":
        ((field, rules), *_) = refusal.data.items()
        return f"{field}.{next(iter(rules))}"
    return refusal.word.replace(" ", "_")


def _envelope(refusal: Refusal) -> dict[str, Any]:
    return {
        "status": "error",
        "error": str(refusal.status),
        "message": refusal.word,
        "data": refusal.data,
        **samples.FRAME,
    }
