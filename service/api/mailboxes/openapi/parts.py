"""What operations of this dialect are made of: bodies, answers, refusals, parameters, security."""

from collections import defaultdict

from litestar.exceptions import HTTPException

from service.api.body.multipart import MalformedBody
from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.mailboxes.envelope import Refusal, message_of
from service.api.mailboxes.errors import refusal_of
from service.api.mailboxes.messages import LARGEST_PAGE
from service.api.mailboxes.openapi import samples
from service.api.mailboxes.openapi.schemas import MESSAGE_ID, UUID, envelope, ref
from service.api.middleware.body_rate import ClientTooSlow
from service.domain.errors import (
    CredentialsInvalid,
    DatabaseUnavailable,
    DocumentTooLarge,
    Forbidden,
    TooManyRequests,
)
from service.domain.vmbox import MAX_DOCUMENT_BYTES

_JSON = "application/json"
_TEXT: Json = {"type": "string"}
_BYTES: Json = {"type": "string", "format": "binary"}
_AUDIO_HEADERS = ("ETag", "Accept-Ranges", "Content-Disposition")
_CREDENTIALS = ("reseller", "reseller_user", "reseller_password")

SECURITY_SCHEMES: Json = {
    "mailbox_token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "A token; then the other credentials are ignored",
    },
    "reseller": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Reseller",
        "description": "The name or the realm of an account",
    },
    "reseller_user": {"type": "apiKey", "in": "header", "name": "X-Auth-User"},
    "reseller_password": {"type": "apiKey", "in": "header", "name": "X-Auth-Password"},
}

_ALWAYS: tuple[Exception, ...] = (
    CredentialsInvalid(),
    Forbidden(),
    TooManyRequests(wait_s=1),
    HTTPException(status_code=500),
    DatabaseUnavailable(),
)
_WITH_BODY: tuple[Exception, ...] = (
    MalformedBody(""),
    ClientTooSlow(),
    DocumentTooLarge(MAX_DOCUMENT_BYTES),
    HTTPException(status_code=415),
)


def security(_operation: Operation) -> list[Json]:
    return [{"mailbox_token": []}, {name: [] for name in _CREDENTIALS}]


def body(schema: Json, example: object) -> Json:
    """A JSON body."""
    return {"required": True, "content": {_JSON: {"schema": schema, "example": example}}}


def success(result: Json, example: object, text: str, *headers: str, status: int = 200) -> Json:
    """An answer with a `result`."""
    shown = {"result": example, "status_code": status, "status_message": message_of(status)}
    content = {"schema": envelope(result, {"const": status}), "example": shown}
    return {
        "description": text,
        "headers": _headers("X-Request-ID", *headers),
        "content": {_JSON: content},
    }


def audio(text: str, *headers: str) -> Json:
    """An answer that is audio of whichever type was stored."""
    return {
        "description": text,
        "headers": _headers("X-Request-ID", *_AUDIO_HEADERS, *headers),
        "content": {"audio/*": {"schema": _BYTES}},
    }


def nothing(text: str) -> Json:
    """An answer without a body."""
    return {"description": text, "headers": _headers("X-Request-ID")}


def responses(operation: Operation) -> dict[int, Json]:
    """The refusals of an operation by status: its own, and those that all have."""
    by_status: dict[int, list[Refusal]] = defaultdict(list)
    errors = (*operation.refusals, *_ALWAYS, *(_WITH_BODY if operation.body else ()))
    for refusal in map(refusal_of, errors):
        if refusal not in by_status[refusal.status]:
            by_status[refusal.status].append(refusal)
    return {status: _refused(status, found) for status, found in by_status.items()}


def _refused(status: int, refusals: list[Refusal]) -> Json:
    examples = {
        "_".join(refusal.errors) or "plain": {"value": _envelope(refusal)} for refusal in refusals
    }
    retry = ["Retry-After"] if "Retry-After" in refusals[0].headers else []
    return {
        "description": message_of(status),
        "headers": _headers("X-Request-ID", *retry),
        "content": {_JSON: {"schema": ref("MailboxRefusal"), "examples": examples}},
    }


def _envelope(refusal: Refusal) -> Json:
    result = {"errors": refusal.errors} if refusal.errors else {}
    words = message_of(refusal.status)
    return {"result": result, "status_code": refusal.status, "status_message": words}


def _headers(*names: str) -> Json:
    return {name: {"schema": _TEXT, "required": True} for name in names}


def parameters() -> Json:
    """All of them by name."""
    whole = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": LARGEST_PAGE}
    return {
        "uuid": _in("path", "uuid", UUID, "The mailbox", samples.MAILBOX_ID),
        "message_uuid": _in("path", "message_uuid", MESSAGE_ID, "The message", samples.MESSAGE_ID),
        "recipient_uuid": _in(
            "path", "recipient_uuid", UUID, "The recipient", samples.RECIPIENT_ID
        ),
        "limit": _in("query", "limit", whole, "How many messages"),
        "before": _in("query", "before", MESSAGE_ID, "Those that are older than this one"),
        "mailbox_range": _in("header", "Range", _TEXT, "`bytes=a-b`, `bytes=a-` or `bytes=-n`"),
        "auth_for": _in("header", "X-Auth-For", _TEXT, "The name of an account to act for"),
        "mailbox_request_id": _in("header", "X-Request-ID", _TEXT, "An id for this request"),
    }


def _in(place: str, name: str, schema: Json, text: str, example: str | None = None) -> Json:
    parameter = {"name": name, "in": place, "schema": schema, "description": text}
    more = {"required": True} if place == "path" else {}
    return parameter | more | ({} if example is None else {"example": example})
