"""Access log: one record per request, with route, status, sizes and duration.

This is nearly the outermost middleware, so that it also records requests that others refuse. It is
the only one that wraps every message, so it also adds the headers of all responses.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from service.api.middleware.request_id import request_id_of
from service.api.middleware.response_headers import with_common_headers
from service.logs import write_line
from service.metrics import HTTP_IN_FLIGHT

log = logging.getLogger(__name__)

NO_ROUTE = "none"
"""Route of requests that match none: a client's path must not become a label value."""

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
# OpenTelemetry's value for other methods.
_OTHER_METHOD = "_OTHER"
# nginx's status for a client that disconnected before the response.
_CLIENT_CLOSED_REQUEST = 499


class RequestRecord(msgspec.Struct, kw_only=True):
    """One request. `route` is the path template, `method` the one after a method override.

    `account_id` is the caller's account. Inner layers set the fields that only they can compute.
    The functions in `on_end` are called when the request ends.

    `headers` has one value per name. `active_at` is the time of the event loop at which the client
    last sent a part of the body or took a part of the response; `is_receiving` is True while the
    request waits for its body.
    """

    method: str
    started_at: float
    request_id: str = ""
    headers: Mapping[bytes, bytes] = {}
    active_at: float = 0.0
    is_receiving: bool = False
    route: str = NO_ROUTE
    path_params: Mapping[str, str] = {}
    status: int = 0
    account_id: UUID | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    duration_s: float = 0.0
    on_end: list[Callable[[], None]] = []


RequestObserver = Callable[[RequestRecord], None]


class AccessLogMiddleware:
    """Records each request and passes the record to the observers when the request ends.

    Sets the request id, and removes trailing slashes of the path.
    """

    def __init__(self, app: ASGIApp, observers: Sequence[RequestObserver]) -> None:
        self._app = app
        self._observers = observers
        self._in_flight = 0
        HTTP_IN_FLIGHT.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        headers = dict(scope["headers"])
        record = RequestRecord(
            method=scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD,
            started_at=started_at,
            request_id=request_id_of(headers),
            headers=headers,
        )
        scope["state"] = {"request_record": record, "request_id": record.request_id}
        scope["path"] = scope["path"].rstrip("/") or "/"
        scope["raw_path"] = scope["path"].encode()
        exchange = _RecordedExchange(record, receive, send)
        self._in_flight += 1
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            # The server answers any error with a 500, after this middleware.
            record.status = record.status or 500
            raise
        finally:
            self._in_flight -= 1
            self._notify(record)

    def _notify(self, record: RequestRecord) -> None:
        record.status = record.status or _CLIENT_CLOSED_REQUEST
        for end in record.on_end:
            end()
        record.duration_s = time.perf_counter() - record.started_at
        for observer in self._observers:
            observer(record)


class _RecordedExchange:
    """Receives and sends the messages of one request."""

    __slots__ = ("_is_complete", "_now", "_receive", "_record", "_send")

    def __init__(self, record: RequestRecord, receive: Receive, send: Send) -> None:
        self._record = record
        self._receive = receive
        self._send = send
        self._now = asyncio.get_running_loop().time
        self._is_complete = False

    async def receive(self) -> ReceiveMessage:
        if self._is_complete:
            # The next message is the disconnect.
            return await self._receive()
        record = self._record
        record.is_receiving = True
        try:
            message = await self._receive()
        finally:
            record.is_receiving = False
            record.active_at = self._now()
        if message["type"] == "http.request":
            record.request_bytes += len(message["body"])
            self._is_complete = not message["more_body"]
        else:
            self._is_complete = True
        return message

    async def send(self, message: Message) -> None:
        record = self._record
        if message["type"] == "http.response.body":
            record.response_bytes += len(message["body"])
            await self._send(message)
            record.active_at = self._now()
            return
        if message["type"] == "http.response.start":
            record.status = message["status"]
            message["headers"] = with_common_headers(message["headers"], record.request_id)
        await self._send(message)


async def record_route(request: Request[Any, Any, Any]) -> None:
    """Litestar `before_request` hook: records the route, which outer layers cannot read."""
    record = request_record_of(request.scope)
    record.method, record.route = request.scope["method"], request.scope["path_template"]
    record.path_params = request.scope["path_params"]


def request_record_of(scope: Scope) -> RequestRecord:
    """Returns the record of the request."""
    record: RequestRecord = scope["state"]["request_record"]
    return record


def log_request(record: RequestRecord) -> None:
    """Logs one line for a request."""
    if line := line_of(record):
        write_line(line)


def line_of(record: RequestRecord) -> dict[str, Any] | None:
    """Returns the fields of the line, a warning for a 5xx. Returns None below the level of the log.

    Path and query are left out: they may contain names.
    """
    level = logging.WARNING if record.status >= 500 else logging.INFO
    if not log.isEnabledFor(level):
        return None
    return {
        "request_id": record.request_id,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "duration_ms": round(record.duration_s * 1000, 1),
        "request_bytes": record.request_bytes,
        "response_bytes": record.response_bytes,
        "account_id": record.account_id and record.account_id.hex,
        "event": "request completed",
        "level": logging.getLevelName(level).lower(),
        "logger": log.name,
    }
