"""Trace span of each request, a child of the caller's span in `traceparent` (W3C)."""

from typing import TYPE_CHECKING

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from service.api.middleware.access_log import NO_ROUTE, RequestRecord, request_record_of
from service.traces import is_exporting, mark_failed, server_span

if TYPE_CHECKING:
    from service.traces import Span


class TracingMiddleware:
    """Runs each request in a span and describes the span from the request record."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        record = request_record_of(scope)
        header = record.headers.get(b"traceparent")
        if header is None and not is_exporting():
            await self._app(scope, receive, send)
            return
        with server_span(None if header is None else header.decode("latin-1")) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                if span is not None:
                    _describe_span(span, record)


def _describe_span(span: "Span", record: RequestRecord) -> None:
    """Sets OpenTelemetry's HTTP attributes, without path and query: they may contain secrets."""
    is_routed = record.route != NO_ROUTE
    span.update_name(f"{record.method} {record.route}" if is_routed else record.method)
    span.set_attribute("http.request.method", record.method)
    span.set_attribute("http.response.status_code", record.status)
    if is_routed:
        span.set_attribute("http.route", record.route)
    if record.status >= 500:
        mark_failed(span, str(record.status))
