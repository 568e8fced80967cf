"""Each request as a span, below the one that its caller names in `traceparent` (W3C)."""

from typing import TYPE_CHECKING

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from service.api.middleware.access_log import NO_ROUTE, RequestRecord, request_record_of
from service.traces import mark_failed, server_span

if TYPE_CHECKING:
    from service.traces import Span


class Tracing:
    """Whatever a request causes is traced below it, and is told of it where it goes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        with server_span(_caller_of(scope)) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                if span is not None:
                    _describe(span, request_record_of(scope))


def _caller_of(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return value.decode("latin-1")
    return None


def _describe(span: "Span", record: RequestRecord) -> None:
    """OpenTelemetry's names for HTTP. No path and no query: they may hold tokens and numbers."""
    known = record.route != NO_ROUTE
    span.update_name(f"{record.method} {record.route}" if known else record.method)
    span.set_attribute("http.request.method", record.method)
    span.set_attribute("http.response.status_code", record.status)
    if known:
        span.set_attribute("http.route", record.route)
    if record.status >= 500:
        mark_failed(span, str(record.status))
