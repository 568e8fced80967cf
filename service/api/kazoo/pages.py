"""Pages of lists: the query parameters, the cursors, and the response with its ETag."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException
from msgspec import UNSET, UnsetType

from service.api.http.conditional import if_none_match_matches
from service.api.kazoo.dependencies import AnyRequest
from service.api.kazoo.envelope import SuccessPage, envelope_fields, respond
from service.api.kazoo.field_selection import select_fields_of_rows
from service.domain.errors import Invalid, Rule
from service.domain.page import Key

DEFAULT_PAGE = 50
LARGEST_PAGE = 1_000
LARGEST_LIST = 10_000
BAD_PAGE_SIZE = f"page_size must be a whole number from 1 to {LARGEST_PAGE}"
BAD_START_KEY = "Unknown start_key; send the next_start_key of the previous page"


class PageQuery(msgspec.Struct, frozen=True):
    """The page of a list that a client requests, or the whole list without pagination."""

    is_paginated: bool
    limit: int
    start_key: str | None


def page_query(request: AnyRequest) -> PageQuery:
    """Reads `paginate`, `page_size` and `start_key`. Raises Invalid."""
    query = request.query_params
    start_key = query.get("start_key") or None
    if query.get("paginate") == "false":
        return PageQuery(False, LARGEST_LIST, start_key)
    size = query.get("page_size", str(DEFAULT_PAGE))
    if not (
        size.isascii() and size.isdecimal() and len(size) <= 9 and 1 <= int(size) <= LARGEST_PAGE
    ):
        raise Invalid.of("page_size", Rule.WRONG_FORMAT, value=size[:32], message=BAD_PAGE_SIZE)
    return PageQuery(True, int(size), start_key)


def is_ascending(request: AnyRequest, default: bool) -> bool:
    """Reads the order of a list from `ascending` or `descending`."""
    for name, value_of_true in (("ascending", True), ("descending", False)):
        match request.query_params.get(name):
            case "true":
                return value_of_true
            case "false":
                return not value_of_true
    return default


def decode_cursor(start_key: str | None, kind: type[Key]) -> Key | None:
    """Decodes the cursor in a `start_key`. Raises Invalid for a malformed one."""
    if start_key is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(start_key.encode() + b"=" * (-len(start_key) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, UnicodeError, ValueError, OverflowError) as error:
        raise Invalid.of(
            "start_key",
            Rule.WRONG_FORMAT,
            value=start_key[:64],
            message=BAD_START_KEY,
        ) from error


def encode_cursor(cursor: Any) -> str:
    """Encodes a cursor as an opaque URL-safe string."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def answer_page(
    request: AnyRequest,
    query: PageQuery,
    rows: Sequence[object],
    *,
    start: Any,
    following: Any,
    metadata: Any | UnsetType = UNSET,
    row_keys: Sequence[str] | None = None,
) -> Response[bytes]:
    """Returns a page from the cursor `start` up to `following`, or 304 if the client has it.

    With `row_keys`, each row is in an object with its key. `?fields=` applies to each row.
    Raises HTTPException 416 when the list is longer than an unpaginated response may be.
    """
    if following is not None and not query.is_paginated:
        raise HTTPException(status_code=416)
    rows = select_fields_of_rows(request, rows)
    if row_keys is not None:
        rows = [{key: row} for key, row in zip(row_keys, rows, strict=True)]
    encoded = msgspec.json.encode(rows)
    next_key = UNSET if following is None else encode_cursor(following)
    # Digest of the rows only, because request id and time differ in each response.
    revision = _digest(encoded)
    tag = f"{revision}-{_digest(next_key.encode())}" if next_key else revision
    headers = {"ETag": f'"{tag}"'}
    if if_none_match_matches(request.headers, tag):
        return Response(b"", status_code=304, headers=headers)
    page = SuccessPage(
        data=msgspec.Raw(encoded),
        revision=revision,
        metadata=metadata,
        page_size=len(rows) if query.is_paginated else UNSET,
        start_key=encode_cursor(start) if query.is_paginated and start is not None else UNSET,
        next_start_key=next_key,
        **envelope_fields(request),
    )
    return respond(page, headers=headers)


def _digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
