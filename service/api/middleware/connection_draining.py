"""Connection draining: while the process stops, each response closes its connection.

Otherwise a client with a keep-alive connection could send a request at the moment in which the
server closes the connection, and receive no response (RFC 9112, section 9.6).
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_IDLE_S = 2.0

Client = tuple[str, int] | None


class ConnectionDrainer:
    """Middleware that does nothing until `begin` is called, then closes connections."""

    def __init__(self) -> None:
        # Time of the last request of each connection in use, oldest first.
        self._last_requests: dict[Client, float] = {}
        self._on_drained: Callable[[], object] | None = None

    def begin(self, on_drained: Callable[[], object]) -> None:
        """Calls `on_drained` once every connection in use has received `Connection: close`.

        A connection without a request for 2 s is not in use.
        """
        self._on_drained = on_drained
        latest = max(self._last_requests.values(), default=0.0)
        remaining_s = latest + _IDLE_S - time.monotonic()
        asyncio.get_running_loop().call_later(max(0.0, remaining_s), self._end)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Returns the application with this middleware in front of it."""
        return partial(self._handle, app)

    async def _handle(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        # HTTP/2 closes connections with GOAWAY frames and forbids the header.
        if scope["type"] != ScopeType.HTTP or not scope["http_version"].startswith("1"):
            await app(scope, receive, send)
            return
        client = scope["client"]
        if self._on_drained is None:
            self._record_request(client)
            await app(scope, receive, send)
            return

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
                self._last_requests.pop(client, None)
            await send(message)
            if not self._last_requests:
                self._end()

        await app(scope, receive, send_and_close)

    def _record_request(self, client: Client) -> None:
        now = time.monotonic()
        self._last_requests.pop(client, None)
        self._last_requests[client] = now
        # Each request adds one entry and removes up to two idle ones, so the number stays bounded.
        for _ in range(2):
            oldest = next(iter(self._last_requests))
            if self._last_requests[oldest] > now - _IDLE_S:
                return
            del self._last_requests[oldest]

    def _end(self) -> None:
        on_drained, self._on_drained = self._on_drained, _do_nothing
        if on_drained is not None:
            on_drained()


def _do_nothing() -> None:
    """Replaces the callback after its call."""
