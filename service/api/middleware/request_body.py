"""Bounds on request bodies: rate, memory, size before sign-in, and the drain before an error.

Closing a connection with unread bytes resets it. The reset can arrive before the response, and the
client then sees a broken connection instead of the error. So the rest of a body is read before an
error response.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from service.api.http.peer import IPNetwork, peer_of_scope
from service.api.middleware.access_log import RequestRecord, request_record_of
from service.api.middleware.body_memory import ANONYMOUS_BYTES, BodyMemory, create_slots
from service.api.middleware.body_rate import BodyRate, BodyRateLimits, content_length_of
from service.domain.errors import DocumentTooLarge

_MAX_DRAINED_BYTES = 32_000_000
_MAX_DRAIN_S = 5.0
# A client that sends nothing for longer waits for the response or has disconnected.
_MAX_PAUSE_S = 0.5


class RequestBodyMiddleware:
    """Bounds the body of each request that has one, and drains it before an error response.

    `receive` raises ClientTooSlow for a body below the minimum rate, and DocumentTooLarge for a
    body above ANONYMOUS_BYTES until the caller is known.
    """

    def __init__(
        self, app: ASGIApp, limits: BodyRateLimits, trusted_proxies: Sequence[IPNetwork]
    ) -> None:
        self._app = app
        self._limits = limits
        self._trusted_proxies = trusted_proxies
        self._slots = create_slots()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not _has_body(request_record_of(scope).headers):
            await self._app(scope, receive, send)
            return
        record = request_record_of(scope)
        memory = BodyMemory(
            self._slots, record, partial(peer_of_scope, scope, self._trusted_proxies)
        )
        scope["state"]["body_memory"] = memory
        body = _BoundedBody(record, self._limits, receive, send)
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            body.close()
            memory.release()


class _BoundedBody:
    """Receives one body within the bounds, and sends the response to it."""

    def __init__(
        self, record: RequestRecord, limits: BodyRateLimits, receive: Receive, send: Send
    ) -> None:
        length = content_length_of(record.headers)
        self._record = record
        self._receive = receive
        self._send = send
        self._rate = BodyRate(limits, receive, length)
        self._size = length or 0
        self._received = 0
        self._is_started = not _expects_continue(record.headers)
        self._is_ended = False

    async def receive(self) -> ReceiveMessage:
        self._check_size()
        self._is_started = True
        message = await self._rate.receive()
        if message["type"] == "http.request":
            self._received += len(message["body"])
            self._size = max(self._size, self._received)
            self._check_size()
        else:
            self._is_ended = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            await self._drain()
        await self._send(message)

    def close(self) -> None:
        self._rate.close()

    def _check_size(self) -> None:
        if self._size > ANONYMOUS_BYTES and self._record.account_id is None:
            raise DocumentTooLarge(ANONYMOUS_BYTES)

    async def _drain(self) -> None:
        """Reads and drops the rest of the body, bounded in bytes and time."""
        remaining = _MAX_DRAINED_BYTES
        now = asyncio.get_running_loop().time
        deadline = now() + _MAX_DRAIN_S
        self._is_ended = self._is_ended or self._rate.is_complete
        try:
            while self._is_started and not self._is_ended and remaining > 0:
                async with asyncio.timeout_at(min(now() + _MAX_PAUSE_S, deadline)):
                    event = await self._receive()
                self._is_ended = event["type"] != "http.request" or not event["more_body"]
                remaining -= len(event["body"]) if event["type"] == "http.request" else 0
        except TimeoutError:
            return


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _expects_continue(headers: Mapping[bytes, bytes]) -> bool:
    """True when the client sends its body only after a 100 response (RFC 9110, section 10.1.1)."""
    return headers.get(b"expect", b"").lower() == b"100-continue"
