"""Drain of the request body before an error response.

Closing a connection with unread bytes resets it. The reset can arrive before the response, and the
client then sees a broken connection instead of the error.
"""

import asyncio

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

_MAX_BYTES = 32_000_000
_MAX_S = 5.0
# A client that sends nothing for longer waits for the response or has disconnected.
_MAX_PAUSE_S = 0.5


class DrainBodyMiddleware:
    """Reads and drops the rest of the body before an error response, bounded in bytes and time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        body = _DrainableBody(receive, is_started=not _expects_continue(scope))

        async def send_after_drain(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                await body.drain()
            await send(message)

        await self._app(scope, body.receive, send_after_drain)


class _DrainableBody:
    def __init__(self, receive: Receive, *, is_started: bool) -> None:
        self._receive = receive
        self._is_started = is_started
        self._is_complete = False

    async def receive(self) -> ReceiveMessage:
        self._is_started = True
        event = await self._receive()
        self._is_complete = event["type"] != "http.request" or not event["more_body"]
        return event

    async def drain(self) -> None:
        remaining = _MAX_BYTES
        now = asyncio.get_running_loop().time
        deadline = now() + _MAX_S
        try:
            while self._is_started and not self._is_complete and remaining > 0:
                async with asyncio.timeout_at(min(now() + _MAX_PAUSE_S, deadline)):
                    event = await self.receive()
                remaining -= len(event["body"]) if event["type"] == "http.request" else 0
        except TimeoutError:
            return


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _expects_continue(scope: Scope) -> bool:
    """True when the client sends its body only after a 100 response (RFC 9110, section 10.1.1)."""
    return dict(scope["headers"]).get(b"expect", b"").lower() == b"100-continue"
