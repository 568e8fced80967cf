"""Routes of dead deliveries: `/v2/accounts/{account}/deliveries`."""

from uuid import UUID

from litestar import Response, post, route

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount
from service.api.kazoo.envelope import succeed
from service.api.kazoo.pages import answer_page, decode_cursor, page_query
from service.api.kazoo.wire.deliveries import RetriedResponse, dead_delivery_row
from service.domain.access import Permission
from service.domain.delivery import DeadDeliveryCursor
from service.domain.errors import Invalid
from service.domain.formats import NO_NUL, UUID_TEXT
from service.domain.schema import Field, apply_schema, submitted_keys

DELIVERIES = "/accounts/{account_id:str}/deliveries"
_ADMIN = {PERMISSION: Permission.ACCOUNT_ADMIN}
RETRY_FIELDS = {
    "event_id": Field(format=UUID_TEXT),
    "channel": Field(min_length=1, max_length=64, format=NO_NUL),
    "target": Field(max_length=4096, format=NO_NUL),
}


@route(DELIVERIES, http_method=["GET", "HEAD"], opt=_ADMIN)
async def list_dead_deliveries(
    request: AnyRequest, account: TheAccount, app: App
) -> Response[bytes]:
    """Lists the deliveries of an account that have failed after all retries, the newest first. A
    delivery is one event for one target of a channel, such as an address of `email`."""
    query = page_query(request)
    start = decode_cursor(query.start_key, DeadDeliveryCursor)
    page = await app.dead_deliveries.list(account, start, query.limit)
    rows = [dead_delivery_row(row) for row in page.items]
    return answer_page(request, query, rows, start=start, following=page.next)


@post(DELIVERIES, status_code=200, opt=_ADMIN)
async def retry_dead_deliveries(
    request: AnyRequest, account: TheAccount, app: App
) -> Response[bytes]:
    """Retries failed deliveries, at most 1 000. `event_id`, `channel` and `target` select them;
    without these, all are selected. Each gets all its attempts again."""
    data, problems = apply_schema(submitted_keys(await read_data(request)), RETRY_FIELDS)
    if problems:
        raise Invalid(problems)
    event_id = data.get("event_id")
    retried = await app.dead_deliveries.retry(
        account, event_id and UUID(event_id), data.get("channel"), data.get("target")
    )
    return succeed(request, RetriedResponse(retried=retried))


ROUTES = (list_dead_deliveries, retry_dead_deliveries)
