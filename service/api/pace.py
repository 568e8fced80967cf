"""How long a request may take: bodies at a least rate, everything else within a deadline.

The deadline is passed down as a cancellation: it ends the statement in Postgres and the exchange
with the audio store that the request waits for.
"""

import asyncio

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from service.domain.errors import Unavailable


class PaceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`grace_s` is what a client may hesitate; after it, a body comes at `bytes_per_s` or more."""

    grace_s: float = 10.0
    bytes_per_s: int = 8_000
    deadline_s: float = 30.0


class ClientTooSlow(Exception):
    """The body comes more slowly than the least rate."""


class DeadlinePassed(Unavailable):
    """The request could not be answered in time."""


class Pace(ASGIMiddleware):
    """Cuts what takes too long; before the answer begins this is a refusal, later the end."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, limits: PaceLimits) -> None:
        self._limits = limits

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        try:
            async with asyncio.timeout(self._limits.deadline_s) as timeout:
                turn = _Turn(self._limits, timeout, receive, send)
                await next_app(scope, turn.receive, turn.send)
        except TimeoutError as error:
            raise DeadlinePassed(scope["path"]) from error


class _Turn:
    """One request: each wait for the client stops the deadline and starts it anew."""

    def __init__(
        self, limits: PaceLimits, timeout: asyncio.Timeout, receive: Receive, send: Send
    ) -> None:
        self._limits = limits
        self._timeout = timeout
        self._receive = receive
        self._send = send
        self._begun_at = self._now()
        self._bytes = 0

    async def receive(self) -> ReceiveMessage:
        self._timeout.reschedule(None)
        patience_s = self._limits.grace_s + self._bytes / self._limits.bytes_per_s
        try:
            async with asyncio.timeout_at(self._begun_at + patience_s):
                message = await self._receive()
        except TimeoutError as error:
            raise ClientTooSlow from error
        finally:
            self._timeout.reschedule(self._now() + self._limits.deadline_s)
        if message["type"] == "http.request":
            self._bytes += len(message["body"])
        return message

    async def send(self, message: Message) -> None:
        await self._send(message)
        self._timeout.reschedule(self._now() + self._limits.deadline_s)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
