"""The last answers of a process that is to stop: each ends its connection.

A client that keeps connections would else send its next request on one at the moment in which the
server closes it, and never hear an answer (RFC 9112, section 9.6).
"""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


class Parting:
    """Changes nothing until `begin` is called."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._parts = False

    def begin(self) -> None:
        self._parts = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # HTTP/2 says it in frames of its own, and allows no such header.
        if (
            not self._parts
            or scope["type"] != ScopeType.HTTP
            or not scope["http_version"].startswith("1")
        ):
            await self._app(scope, receive, send)
            return

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, send_last)
