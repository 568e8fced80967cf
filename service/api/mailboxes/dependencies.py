"""What a handler of this dialect works with: ids from the path, and the body."""

from typing import Any
from uuid import UUID

from litestar import Request
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import SkipValidation

from service.api.body.json_body import MAX_JSON_BYTES, check_storable, decode_object, read_chunks
from service.api.mailboxes.wire import parse_uuid, to_message_id
from service.domain.account import AccountFacts
from service.domain.errors import (
    DocumentTooLarge,
    MessageNotFound,
    RecipientNotFound,
    VmboxNotFound,
)
from service.domain.message import MessageId
from service.domain.schema import Document

AnyRequest = Request[Any, Any, Any]

# What is derived from a request, by type; built here, so not validated.
TheAccount = NamedDependency[SkipValidation[AccountFacts]]

# curl -d without a content type sends the form type, and some clients none.
_JSON_TYPES = frozenset(
    {"", "application/json", "application/x-json", "application/x-www-form-urlencoded"}
)


async def read_object(request: AnyRequest) -> Document:
    """The JSON object that the body is.

    Raises MalformedBody, DocumentTooLarge; HTTPException 415 for another content type.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0]
    if content_type.strip().lower() not in _JSON_TYPES:
        raise HTTPException(status_code=415)
    pieces = read_chunks(request, MAX_JSON_BYTES, DocumentTooLarge(MAX_JSON_BYTES))
    body = b"".join([piece async for piece in pieces])
    return check_storable(decode_object(body), body)


def mailbox_of_path(text: str) -> UUID:
    """The mailbox id in a path; what is no id names no mailbox."""
    vmbox_id = parse_uuid(text)
    if vmbox_id is None:
        raise VmboxNotFound(text[:64])
    return vmbox_id


def message_of_path(text: str) -> MessageId:
    """The message id in a path; what is no id names no message."""
    message_id = to_message_id(text)
    if message_id is None:
        raise MessageNotFound(text[:64])
    return message_id


def recipient_of_path(text: str) -> UUID:
    """The recipient id in a path; what is no id names no recipient."""
    recipient_id = parse_uuid(text)
    if recipient_id is None:
        raise RecipientNotFound(text[:64])
    return recipient_id
