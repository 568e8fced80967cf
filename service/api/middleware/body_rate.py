"""How long a request may take: bodies at a least rate, everything else within a deadline."""

import asyncio

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from service.domain.errors import Unavailable


class RequestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`grace_s` is what a client may hesitate; after it, a body comes at `bytes_per_s` or more."""

    grace_s: float = 10.0
    bytes_per_s: int = 8_000
    deadline_s: float = 30.0


class ClientTooSlow(Exception):
    """The body comes more slowly than the least rate."""


class DeadlinePassed(Unavailable):
    """The request could not be answered in time."""


class MinimumBodyRate:
    """Lets whoever reads a body meet ClientTooSlow when the client trickles."""

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            receive = _RateLimitedBody(self._limits, receive, _length_of(scope)).receive
        await self._app(scope, receive, send)


class _RateLimitedBody:
    def __init__(self, limits: RequestLimits, receive: Receive, length: int | None) -> None:
        self._limits = limits
        self._receive = receive
        self._length = length
        self._begun_at = asyncio.get_running_loop().time()
        self._bytes = 0
        self._whole = False

    async def receive(self) -> ReceiveMessage:
        if self._whole:
            # What comes now is only that the client has gone: that may take as long as the answer.
            return await self._receive()
        patience_s = self._limits.grace_s + self._bytes / self._limits.bytes_per_s
        try:
            async with asyncio.timeout_at(self._begun_at + patience_s):
                message = await self._receive()
        except TimeoutError as error:
            raise ClientTooSlow from error
        if message["type"] == "http.request":
            self._bytes += len(message["body"])
            if self._bytes == self._length:
                # The server says so with one more message, an empty one: waited for in vain.
                message["more_body"] = False
            self._whole = not message["more_body"]
        return message


def _length_of(scope: Scope) -> int | None:
    """What a body says of its length, where that counts (RFC 9112, section 6.3)."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not length.isdigit():
        return None
    return int(length[:18])


class Deadline(ASGIMiddleware):
    """Ends what takes too long, before the answer begins with DeadlinePassed.

    It is passed down as a cancellation: that ends the statement in Postgres and the exchange with
    the audio store that the request waits for. The clock stands still while a body comes in, and
    starts anew with each part of the answer that the client takes.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        now = asyncio.get_running_loop().time
        whole = False

        async def receive_untimed() -> ReceiveMessage:
            nonlocal whole
            if whole:
                return await receive()
            timeout.reschedule(None)
            try:
                message = await receive()
            finally:
                timeout.reschedule(now() + self._deadline_s)
            whole = message["type"] != "http.request" or not message["more_body"]
            return message

        async def send_timed(message: Message) -> None:
            await send(message)
            timeout.reschedule(now() + self._deadline_s)

        try:
            async with asyncio.timeout(self._deadline_s) as timeout:
                await next_app(scope, receive_untimed, send_timed)
        except TimeoutError as error:
            raise DeadlinePassed(scope["path"]) from error
