"""The rest of a body that was refused: read and dropped, so that its sender hears the answer.

A connection that is closed while bytes wait to be read is reset, and the reset overtakes the
answer: the client would see a broken line instead of the reason.
"""

import asyncio

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

_MOST_BYTES = 32_000_000
_MOST_S = 5.0
# A client that is silent for longer waits for the answer, or has gone.
_SILENCE_S = 0.5


class DrainBody:
    """Before a refusal begins, drops what is left of the body; bounded in bytes and time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        body = _Body(receive, asked_for=_waits_for_leave(scope))

        async def send_afterwards(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                await body.drop_rest()
            await send(message)

        await self._app(scope, body.receive, send_afterwards)


class _Body:
    def __init__(self, receive: Receive, *, asked_for: bool) -> None:
        self._receive = receive
        self._comes = not asked_for
        self._whole = False

    async def receive(self) -> ReceiveMessage:
        self._comes = True
        event = await self._receive()
        self._whole = event["type"] != "http.request" or not event["more_body"]
        return event

    async def drop_rest(self) -> None:
        left = _MOST_BYTES
        give_up = asyncio.get_running_loop().time() + _MOST_S
        try:
            while self._comes and not self._whole and left > 0:
                soon = asyncio.get_running_loop().time() + _SILENCE_S
                async with asyncio.timeout_at(min(soon, give_up)):
                    event = await self.receive()
                left -= len(event["body"]) if event["type"] == "http.request" else 0
        except TimeoutError:
            return


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _waits_for_leave(scope: Scope) -> bool:
    """`Expect: 100-continue`: such a client sends nothing that nobody asked for (RFC 9110)."""
    return dict(scope["headers"]).get(b"expect", b"").lower() == b"100-continue"
