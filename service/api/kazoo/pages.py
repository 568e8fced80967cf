"""How a page of a list is answered, whatever it lists."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException
from msgspec import UNSET, UnsetType

from service.api.http.conditional import if_none_match_matches
from service.api.kazoo.dependencies import AnyRequest
from service.api.kazoo.envelope import succeed
from service.api.kazoo.query import PageQuery, paging


def answer_page(
    request: AnyRequest,
    asked: PageQuery,
    rows: Sequence[object],
    *,
    start: Any,
    following: Any,
    metadata: Any | UnsetType = UNSET,
) -> Response[bytes]:
    """The rows between the keys `start` and `following`, or 304 for a client that has them.

    Raises HTTPException 416 when all was asked for and there is more.
    """
    if following is not None and not asked.paginated:
        raise HTTPException(status_code=416)
    described = paging(asked, len(rows), start, following)
    # Not of the envelope: a request's id and time would make it another every time.
    revision = _digest(rows)
    tag = revision if following is None else f"{revision}-{_digest(following)}"
    headers = {"ETag": f'"{tag}"'}
    if if_none_match_matches(request.headers, tag):
        return Response(b"", status_code=304, headers=headers)
    return succeed(
        request, rows, revision=revision, metadata=metadata, paging=described, headers=headers
    )


def _digest(value: object) -> str:
    return hashlib.md5(msgspec.json.encode(value), usedforsecurity=False).hexdigest()
