"""The router of this dialect, and the response to any error."""

import msgspec
from litestar import Response, Router, route
from litestar.di import Provide
from litestar.exceptions import HTTPException

from service.api.http.moved import redirect_headers
from service.api.http.ranges import RangeNotSatisfiable
from service.api.kazoo import (
    accounts,
    api_keys,
    audit,
    batches,
    deliveries,
    erasures,
    events,
    exports,
    forwards,
    greetings,
    holds,
    json_schemas,
    links,
    messages,
    neighbours,
    raw,
    sessions,
    transcriptions,
    trash,
    uploads,
    users,
    vmbox_trash,
    vmboxes,
    waveforms,
    webhooks,
    zip,
)
from service.api.kazoo.dependencies import (
    AnyRequest,
    provide_account,
    provide_caller,
)
from service.api.kazoo.envelope import Refusal, refuse
from service.api.kazoo.errors import http_refusal, refusal_of


@route(["/v1", "/v1/{rest:path}"], http_method=["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"])
async def old_version() -> None:
    """Answers 410 for every path of version 1."""
    raise HTTPException(status_code=410)


def create_router() -> Router:
    """Returns the router of `/v2`. The application provides the use cases as a dependency."""
    return Router(
        path="/v2",
        route_handlers=[
            *accounts.ROUTES,
            *api_keys.ROUTES,
            *sessions.ROUTES,
            *users.ROUTES,
            *vmboxes.ROUTES,
            *messages.ROUTES,
            *batches.ROUTES,
            *forwards.ROUTES,
            *trash.ROUTES,
            *vmbox_trash.ROUTES,
            *uploads.ROUTES,
            *raw.ROUTES,
            *waveforms.ROUTES,
            *transcriptions.ROUTES,
            *links.ROUTES,
            *zip.ROUTES,
            *events.ROUTES,
            *greetings.ROUTES,
            *webhooks.ROUTES,
            *deliveries.ROUTES,
            *holds.ROUTES,
            *erasures.ROUTES,
            *exports.ROUTES,
            *audit.ROUTES,
            *json_schemas.ROUTES,
            *neighbours.ROUTES,
        ],
        dependencies={
            "account": Provide(provide_account),
            "caller": Provide(provide_caller, sync_to_thread=False),
        },
    )


def answer_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Returns the response to any error, including those of the HTTP layer and internal ones."""
    refusal = _refusal(error)
    if headers := redirect_headers(request, error):
        refusal = msgspec.structs.replace(refusal, headers=headers)
    return refuse(request, refusal)


def _refusal(error: Exception) -> Refusal:
    if refusal := refusal_of(error):
        return refusal
    match error:
        case RangeNotSatisfiable():
            headers = {"Content-Range": f"bytes */{error.size}"}
            return Refusal(status=416, code="range not satisfiable", headers=headers)
        case HTTPException():
            return http_refusal(error.status_code, dict(error.headers or {}))
        case _:
            return http_refusal(500)
