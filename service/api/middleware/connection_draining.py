"""The last answers of a process that is to stop: each ends its connection.

A client that keeps connections would else send its next request on one at the moment in which the
server closes it, and never hear an answer (RFC 9112, section 9.6).
"""

import asyncio
import time
from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_LATELY_S = 2.0

Client = tuple[str, int] | None


class ConnectionDrainer:
    """Changes nothing until `begin` is called."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # When each connection was last asked on, the latest one last.
        self._lately: dict[Client, float] = {}
        self._then: Callable[[], object] | None = None

    def begin(self, then: Callable[[], object]) -> None:
        """Calls `then` once each connection that is in use has heard of its end.

        One on which nothing was asked for 2 s is not in use.
        """
        self._then = then
        last = max(self._lately.values(), default=0.0)
        left_s = last + _LATELY_S - time.monotonic()
        asyncio.get_running_loop().call_later(max(0.0, left_s), self._end)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # HTTP/2 says it in frames of its own, and allows no such header.
        if scope["type"] != ScopeType.HTTP or not scope["http_version"].startswith("1"):
            await self._app(scope, receive, send)
            return
        client = scope["client"]
        if self._then is None:
            self._note(client)
            await self._app(scope, receive, send)
            return

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
                self._lately.pop(client, None)
            await send(message)
            if not self._lately:
                self._end()

        await self._app(scope, receive, send_last)

    def _note(self, client: Client) -> None:
        now = time.monotonic()
        self._lately.pop(client, None)
        self._lately[client] = now
        # Two for each that comes: so they never add up.
        for _ in range(2):
            first = next(iter(self._lately))
            if self._lately[first] > now - _LATELY_S:
                return
            del self._lately[first]

    def _end(self) -> None:
        then, self._then = self._then, _nothing
        if then is not None:
            then()


def _nothing() -> None:
    """Said already."""
