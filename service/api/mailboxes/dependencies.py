"""Dependencies of the route handlers: account, JSON body, ids in the path."""

from functools import partial
from typing import Any

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from service.api.body.json_body import check_storable, decode_object, read_json_body
from service.api.http.path_ids import id_of_path
from service.api.mailboxes.wire import parse_message_id, parse_uuid
from service.domain.account import AccountFacts, Caller
from service.domain.errors import (
    ContentTypeRefused,
    MessageNotFound,
    RecipientNotFound,
    VmboxNotFound,
)
from service.domain.schema import Document

AnyRequest = Request[Any, Any, Any]

# Litestar does not validate them, because this package creates them.
TheAccount = NamedDependency[SkipValidation[AccountFacts]]
TheCaller = NamedDependency[SkipValidation[Caller]]

# `curl -d` declares a form by default, and some clients declare nothing.
_JSON_TYPES = frozenset(
    {"", "application/json", "application/x-json", "application/x-www-form-urlencoded"}
)


async def read_object(request: AnyRequest) -> Document:
    """Reads a JSON object.

    Raises MalformedBody, DocumentTooLarge, TooManyBodies, ContentTypeRefused,
    ContentEncodingRefused.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0]
    if content_type.strip().lower() not in _JSON_TYPES:
        raise ContentTypeRefused(["application/json"])
    body = await read_json_body(request)
    return check_storable(decode_object(body), body)


mailbox_of_path = partial(id_of_path, parse_uuid, VmboxNotFound)
message_of_path = partial(id_of_path, parse_message_id, MessageNotFound)
recipient_of_path = partial(id_of_path, parse_uuid, RecipientNotFound)
