"""Minimum rate at which a request body must arrive."""

import asyncio
from collections.abc import Callable

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

# Factor of the minimum rate while upload slots are scarce.
_SCARCE_FACTOR = 4


class BodyRateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one body: a grace period in seconds, then a minimum rate in bytes per second.

    The minimum rate is four times as high while `is_scarce` returns True.
    """

    grace_s: float
    bytes_per_s: int
    is_scarce: Callable[[], bool] = lambda: False

    def allowed_s(self, received: int) -> float:
        """Returns the time, from the start of a body, by which the next part must arrive."""
        factor = _SCARCE_FACTOR if self.is_scarce() else 1
        return self.grace_s + received / (self.bytes_per_s * factor)


class ClientTooSlow(Exception):
    """The request body arrives too slowly; send it again over a faster connection."""


class MinimumBodyRateMiddleware:
    """Raises ClientTooSlow from `receive` when a body arrives below the minimum rate."""

    def __init__(self, app: ASGIApp, limits: BodyRateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            receive = _RateLimitedBody(self._limits, receive, content_length_of(scope)).receive
        await self._app(scope, receive, send)


class _RateLimitedBody:
    def __init__(
        self, limits: BodyRateLimits, receive: Receive, content_length: int | None
    ) -> None:
        self._limits = limits
        self._receive = receive
        self._content_length = content_length
        self._started_at = asyncio.get_running_loop().time()
        self._bytes = 0
        self._is_complete = False

    async def receive(self) -> ReceiveMessage:
        if self._is_complete:
            # The next message is the disconnect, which may take as long as the response.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._started_at + self._limits.allowed_s(self._bytes)):
                message = await self._receive()
        except TimeoutError as error:
            raise ClientTooSlow from error
        if message["type"] == "http.request":
            self._bytes += len(message["body"])
            if self._bytes == self._content_length:
                # Avoids the wait for the empty message with which the server ends a body.
                message["more_body"] = False
            self._is_complete = not message["more_body"]
        return message


def content_length_of(scope: Scope) -> int | None:
    """Returns the declared length of a body; None for a chunked body (RFC 9112, section 6.3)."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not length.isdigit():
        return None
    return int(length[:18])
