"""Bounds on the bodies that a process keeps in memory, for one request and for all."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from service.api.http.peer import IPNetwork, peer_of
from service.api.middleware.access_log import RequestRecord, request_record_of
from service.api.middleware.body_rate import content_length_of
from service.domain.errors import DocumentTooLarge, TooManyBodies
from service.usecases.slots import SharedSlots

ANONYMOUS_BYTES = 64 * 1024
"""Largest body of a request without valid credentials in its head."""
# Bytes of each body that are not counted, so that small requests are never refused.
FREE_BYTES = 8 * 1024

_TOTAL_BYTES = 64 * 1024**2
_BYTES_PER_OWNER = 16 * 1024**2


class BodyMemory:
    """Memory of one body. It counts for the caller's account, or for the peer before sign-in."""

    def __init__(
        self, slots: SharedSlots, record: RequestRecord, find_peer: Callable[[], str]
    ) -> None:
        self._slots = slots
        self._record = record
        self._find_peer = find_peer
        self._size = FREE_BYTES
        self._held: defaultdict[UUID | str, int] = defaultdict(int)

    def hold(self, size: int) -> None:
        """Records that `size` bytes of the body are in memory. Raises TooManyBodies."""
        more = size - self._size
        if more > 0:
            owner = self._record.account_id or self._find_peer()
            try:
                self._slots.acquire(owner, count=more)
            except TooManyBodies:
                # The request ends now, although the rest of its body may still be drained.
                self.release()
                raise
            self._held[owner] += more
            self._size = size

    def release(self) -> None:
        for owner, count in self._held.items():
            self._slots.release(owner, count)
        self._held.clear()


class BodyMemoryMiddleware:
    """Counts the memory of bodies, and stops a large body of a request without credentials.

    `receive` raises DocumentTooLarge for a body above ANONYMOUS_BYTES until the caller is known.
    """

    def __init__(self, app: ASGIApp, trusted_proxies: Sequence[IPNetwork]) -> None:
        self._app = app
        self._trusted_proxies = trusted_proxies
        self._slots = SharedSlots(_TOTAL_BYTES, _BYTES_PER_OWNER, TooManyBodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        record = request_record_of(scope)
        memory = BodyMemory(self._slots, record, lambda: self._peer_of(scope))
        scope["state"]["body_memory"] = memory
        received, declared = 0, content_length_of(scope) or 0

        def check_size(size: int) -> None:
            if size > ANONYMOUS_BYTES and record.account_id is None:
                raise DocumentTooLarge(ANONYMOUS_BYTES)

        async def receive_bounded() -> ReceiveMessage:
            nonlocal received
            check_size(declared)
            message = await receive()
            if message["type"] == "http.request":
                received += len(message["body"])
            check_size(received)
            return message

        try:
            await self._app(scope, receive_bounded, send)
        finally:
            memory.release()

    def _peer_of(self, scope: Scope) -> str:
        copy: Any = {**scope, "state": {}}
        return peer_of(ASGIConnection(copy), self._trusted_proxies)


def body_memory_of(scope: Scope) -> BodyMemory:
    """Returns the memory of the body of the request."""
    memory: BodyMemory = scope["state"]["body_memory"]
    return memory
