"""Parts of operations: request bodies, responses, error responses, parameters, security."""

from collections import defaultdict
from typing import Any

import msgspec
from litestar.exceptions import HTTPException

from service.api.body.multipart import MalformedBody
from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.mailboxes.envelope import (
    MailboxRefusal,
    envelope,
    refusal_envelope,
    status_message,
)
from service.api.mailboxes.errors import refusal_of
from service.api.mailboxes.messages import MAX_PAGE_SIZE
from service.api.mailboxes.openapi import samples
from service.api.mailboxes.openapi.schemas import FAILURE, envelope_schema
from service.api.mailboxes.wire import MESSAGE_ID
from service.api.middleware.body_rate import ClientTooSlow
from service.domain.errors import (
    CredentialsInvalid,
    DatabaseUnavailable,
    DocumentTooLarge,
    Forbidden,
    TooManyRequests,
)
from service.domain.rendition import RenditionFormat
from service.domain.schema import MAX_DOCUMENT_BYTES

_JSON = "application/json"
_TEXT: Json = {"type": "string"}
_UUID: Json = {**_TEXT, "format": "uuid"}
_MESSAGE_ID: Json = {**_TEXT, "pattern": MESSAGE_ID}
_LIMIT: Json = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": MAX_PAGE_SIZE}

_CREDENTIALS = {
    "mailbox_token": ("X-Auth-Token", "Token. The other credentials are then ignored"),
    "reseller": ("X-Auth-Reseller", "Name or realm of the user's account"),
    "reseller_user": ("X-Auth-User", "Name of the user"),
    "reseller_password": ("X-Auth-Password", "Password of the user"),
}
SECURITY_SCHEMES: Json = {
    name: {"type": "apiKey", "in": "header", "name": header, "description": description}
    for name, (header, description) in _CREDENTIALS.items()
}

_COMMON_ERRORS: tuple[Exception, ...] = (
    CredentialsInvalid(),
    Forbidden(),
    TooManyRequests(wait_s=1),
    HTTPException(status_code=500),
    DatabaseUnavailable(),
)
_BODY_ERRORS: tuple[Exception, ...] = (
    MalformedBody(""),
    ClientTooSlow(),
    DocumentTooLarge(MAX_DOCUMENT_BYTES),
    HTTPException(status_code=415),
)


def security(_operation: Operation) -> list[Json]:
    """Returns the alternatives: a token, or all other credentials."""
    token, *others = _CREDENTIALS
    return [{token: []}, {name: [] for name in others}]


def request_body(schema: str, example: Json) -> Json:
    return {"required": True, "content": {_JSON: {"schema": ref(schema), "example": example}}}


def success(result: Any, description: str, *headers: str, status: int = 200) -> Json:
    """Returns a response with an example of its result, a Struct or a list of Structs."""
    example = msgspec.to_builtins(envelope(result, status))
    content = {"schema": envelope_schema(_schema_of(result), status), "example": example}
    return {**no_content(description, *headers), "content": {_JSON: content}}


def audio(description: str, *headers: str) -> Json:
    """Returns a response with audio of any type."""
    names = ("ETag", "Accept-Ranges", "Content-Disposition", *headers)
    schema = {"schema": {**_TEXT, "format": "binary"}}
    # Generators read the bytes of the first type only.
    content = dict.fromkeys(("application/octet-stream", "audio/*"), schema)
    return {**no_content(description, *names), "content": content}


def no_content(description: str, *headers: str) -> Json:
    """Returns a response without a body."""
    names = ("X-Request-ID", *headers)
    return {
        "description": description,
        "headers": {name: {"schema": _TEXT, "required": True} for name in names},
    }


def refusals(operation: Operation) -> dict[int, Json]:
    """Returns the error responses of an operation by status: its own and the common ones."""
    by_status: dict[int, list[MailboxRefusal]] = defaultdict(list)
    errors = (*operation.refusals, *_COMMON_ERRORS, *(_BODY_ERRORS if operation.body else ()))
    for refusal in map(refusal_of, errors):
        if refusal not in by_status[refusal.status]:
            by_status[refusal.status].append(refusal)
    return {status: _refusal_response(status, group) for status, group in by_status.items()}


def _refusal_response(status: int, group: list[MailboxRefusal]) -> Json:
    examples = {
        "_".join(refusal.errors) or "plain": {
            "value": msgspec.to_builtins(refusal_envelope(refusal))
        }
        for refusal in group
    }
    retry_after = ["Retry-After"] if "Retry-After" in group[0].headers else []
    content = {"schema": ref(FAILURE), "examples": examples}
    return {**no_content(status_message(status), *retry_after), "content": {_JSON: content}}


def _schema_of(result: Any) -> Json:
    if isinstance(result, list):
        return {"type": "array", "items": _schema_of(result[0])}
    return ref(type(result)) if isinstance(result, msgspec.Struct) else {"type": "object"}


def parameters() -> Json:
    """Returns all parameters by name."""
    message, recipient = samples.MESSAGE.uuid, str(samples.RECIPIENT.uuid)
    return {
        "uuid": _path("uuid", _UUID, "Id of the mailbox", samples.MAILBOX_ID),
        "message_uuid": _path("message_uuid", _MESSAGE_ID, "Id of the message", message),
        "recipient_uuid": _path("recipient_uuid", _UUID, "Id of the recipient", recipient),
        "limit": _optional("query", "limit", _LIMIT, "Maximum number of messages"),
        "before": _optional("query", "before", _MESSAGE_ID, "Returns messages older than this one"),
        "mailbox_range": _optional(
            "header", "Range", _TEXT, "Range: `bytes=a-b`, `bytes=a-` or `bytes=-n`"
        ),
        "mailbox_format": _optional(
            "query",
            "format",
            {"type": "string", "enum": [target.value for target in RenditionFormat]},
            "Format of the audio, which is converted; the default is the stored format",
        ),
        "auth_for": _optional(
            "header", "X-Auth-For", _TEXT, "Name of a descendant account to act for"
        ),
        "mailbox_request_id": _optional("header", "X-Request-ID", _TEXT, "Id of this request"),
    }


def _path(name: str, schema: Json, description: str, example: str) -> Json:
    return {**_optional("path", name, schema, description), "required": True, "example": example}


def _optional(place: str, name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": place, "schema": schema, "description": description}
