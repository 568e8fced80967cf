"""Route of the audit: `/v2/accounts/{account}/audit`."""

from collections.abc import Callable
from typing import TypeVar

from litestar import Response, route

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.kazoo.dependencies import AnyRequest, TheAccount
from service.api.kazoo.pages import answer_page, decode_cursor, is_ascending, page_query
from service.api.kazoo.query import time_bounds
from service.api.kazoo.wire.audit import audit_row
from service.domain.access import Permission
from service.domain.audit import AuditCursor, AuditFilter
from service.domain.errors import Invalid, Rule
from service.domain.message import MessageId, parse_hex_id

AUDIT = "/accounts/{account_id:str}/audit"
_MAX_ACTION = 64
BAD_ID = "The id is malformed; send an id as the API writes it"

Identity = TypeVar("Identity")


@route(AUDIT, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def list_audit(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Lists the audit of an account, the newest record first. With a filter, a page may have fewer
    records than `page_size`, or none: continue while there is a `next_start_key`."""
    query = page_query(request)
    start = decode_cursor(query.start_key, AuditCursor)
    page = await app.audit.list(
        account.account_id,
        _filter_of(request),
        start,
        query.limit,
        ascending=is_ascending(request, default=False),
    )
    rows = [audit_row(record) for record in page.items]
    return answer_page(request, query, rows, start=start, following=page.next)


ROUTES = (list_audit,)


def _filter_of(request: AnyRequest) -> AuditFilter:
    """Reads `action`, `user`, `vmbox`, `message`, `created_from` and `created_to`."""
    since, until = time_bounds(request).created
    action: str | None = request.query_params.get("action") or None
    return AuditFilter(
        action=action and action[:_MAX_ACTION].replace("\0", ""),
        principal_id=_id_of(request, "user", parse_hex_id),
        vmbox_id=_id_of(request, "vmbox", parse_hex_id),
        message_id=_id_of(request, "message", MessageId.parse),
        since=since,
        # Includes the whole second, because records have microseconds.
        until=until and until.replace(microsecond=999_999),
    )


def _id_of(
    request: AnyRequest, name: str, parse: Callable[[str], Identity | None]
) -> Identity | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    identity = parse(text)
    if identity is None:
        raise Invalid.of(name, Rule.WRONG_FORMAT, value=text[:64], message=BAD_ID)
    return identity
