"""What is seen of each request: route, status, sizes, time. Told once, at its end, to who counts.

The outermost layer, so that refusals of every other are seen as well.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from service.logs import get_logger
from service.metrics import HTTP_IN_FLIGHT

log = get_logger(__name__)

NO_ROUTE = "none"
"""The route of what is routed nowhere: paths that strangers make up name nothing of ours."""

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
# As OpenTelemetry names what is none of them.
_OTHER_METHOD = "_OTHER"
# As nginx counts it: the client went away before an answer began.
_CLIENT_GONE = 499


class RequestRecord(msgspec.Struct, kw_only=True):
    """One request. `route` is the template, `method` the one that was tunnelled, if any.

    `account_id` is the caller's. Layers below fill in what they alone know.
    """

    method: str
    begun_at: float
    request_id: str = ""
    route: str = NO_ROUTE
    status: int = 0
    account_id: UUID | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    duration_s: float = 0.0


RequestObserver = Callable[[RequestRecord], None]


class AccessLog:
    """Watches each request from its first byte to the end of its answer."""

    def __init__(self, app: ASGIApp, observers: Sequence[RequestObserver]) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
        record = RequestRecord(method=method, begun_at=time.perf_counter())
        watched: Any = {**scope, "state": {**scope.get("state", {}), "observation": record}}

        async def receive_counted() -> ReceiveMessage:
            message = await receive()
            if message["type"] == "http.request":
                record.request_bytes += len(message["body"])
            return message

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            elif message["type"] == "http.response.body":
                record.response_bytes += len(message["body"])
            await send(message)

        HTTP_IN_FLIGHT.inc()
        try:
            await self._app(watched, receive_counted, send_counted)
        except Exception:
            record.status = record.status or 500
            raise
        finally:
            HTTP_IN_FLIGHT.dec()
            self._tell(record)

    def _tell(self, record: RequestRecord) -> None:
        record.status = record.status or _CLIENT_GONE
        record.duration_s = time.perf_counter() - record.begun_at
        for observer in self._observers:
            observer(record)


class Routed:
    """Stands around the router: afterwards it knows the route, which outer layers cannot see."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == ScopeType.HTTP and "path_template" in scope:
                record = request_record_of(scope)
                record.method, record.route = scope["method"], scope["path_template"]


def request_record_of(scope: Scope) -> RequestRecord:
    """What is seen of the request so far."""
    record: RequestRecord = scope["state"]["observation"]
    return record


def log_request(record: RequestRecord) -> None:
    """One line per request; a warning when we failed. No path, no query: they may name people."""
    failed = record.status >= 500
    if not log.isEnabledFor(30 if failed else 20):
        return
    (log.warning if failed else log.info)(
        "Answered a request",
        request_id=record.request_id,
        method=record.method,
        route=record.route,
        status=record.status,
        duration_ms=round(record.duration_s * 1000, 1),
        request_bytes=record.request_bytes,
        response_bytes=record.response_bytes,
        account_id=record.account_id and record.account_id.hex,
    )
