"""Responses with documents of accounts, users, boxes, greetings and webhooks."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec
from litestar import Response
from msgspec import UNSET

from service.api.kazoo.dependencies import AnyRequest
from service.api.kazoo.envelope import succeed
from service.api.kazoo.filters import read_filter
from service.api.kazoo.pages import answer_page, decode_cursor, is_ascending, page_query
from service.api.kazoo.query import time_bounds
from service.api.kazoo.wire.documents import ReadOnlyFlags, document_metadata
from service.domain.page import NameCursor, Page
from service.domain.schema import Document


class Record(Protocol):
    """A stored document."""

    @property
    def revision(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def modified_at(self) -> datetime: ...


Listed = TypeVar("Listed", bound=Record)


async def list_documents(
    request: AnyRequest,
    read: Callable[..., Awaitable[Page[Listed, NameCursor]]],
    row_of: Callable[[Listed], object],
    document_of: Callable[[Listed], Document],
    row_type: type[msgspec.Struct] | None = None,
    *,
    has_metadata: bool = True,
) -> Response[bytes]:
    """Returns a page of documents, or 304. Raises Invalid.

    `read` takes a cursor, a limit, `descending`, `predicate` and `keys`. Filters apply to the
    document of a record. The page contains the row of each record. With `row_type`, the row is made
    from the keys of this type only.
    """
    keys = {} if row_type is None else {"keys": row_type.__struct_fields__}
    query = page_query(request)
    start = decode_cursor(query.start_key, NameCursor)
    page = await read(
        start,
        query.limit,
        descending=not is_ascending(request, default=True),
        predicate=_matcher(request, document_of),
        **keys,
    )
    rows = [row_of(record) for record in page.items]
    metadata: Any = {} if has_metadata else UNSET
    return answer_page(request, query, rows, start=start, following=page.next, metadata=metadata)


def answer_document(
    request: AnyRequest,
    document: Document,
    record: Record,
    document_id: UUID,
    *,
    is_deleted: bool = False,
    **envelope: Any,
) -> Response[bytes]:
    """Returns a document with its revision and its metadata.

    `envelope` contains arguments of `succeed`, which take precedence.
    """
    times = (record.created_at, record.modified_at)
    defaults: dict[str, Any] = {
        "revision": revision_of(record, document_id),
        "metadata": document_metadata(document_id, *times, is_deleted=is_deleted),
    }
    data = {**document, "_read_only": ReadOnlyFlags()} if is_deleted else document
    return succeed(request, data, **(defaults | envelope))


def revision_of(record: Record, document_id: UUID) -> str:
    """Returns the revision of a document, as KAZOO writes it."""
    return f"{record.revision}-{document_id.hex}"


def _matcher(
    request: AnyRequest, document_of: Callable[[Listed], Document]
) -> Callable[[Listed], bool] | None:
    """Reads the filters and the bounds of time. Returns None if there are none."""
    bounds = time_bounds(request)
    matches = read_filter(request.query_params.multi_items())
    if matches is None and not bounds:
        return None

    def predicate(record: Listed) -> bool:
        return bounds.contain(record.created_at, record.modified_at) and (
            matches is None or matches(document_of(record))
        )

    return predicate
