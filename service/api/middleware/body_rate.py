"""Minimum rate at which a request body must arrive."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from litestar.types import Receive, ReceiveMessage

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

    def least_allowed_s(self, received: int) -> float:
        """Returns `allowed_s` while upload slots are scarce."""
        return self.grace_s + received / (self.bytes_per_s * _SCARCE_FACTOR)


class ClientTooSlow(Exception):
    """The request body arrives too slowly; send it again over a faster connection."""


class BodyRate:
    """Receives one body. Raises ClientTooSlow when it arrives below the minimum rate.

    The timer is set once and then checks the bytes received, because a timer for each part costs
    more than the part. `close` ends it.
    """

    def __init__(
        self, limits: BodyRateLimits, receive: Receive, content_length: int | None
    ) -> None:
        self.is_complete = False
        self._limits = limits
        self._receive = receive
        self._content_length = content_length
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        # The task that waits for the next part.
        self._waiting: asyncio.Task[Any] | None = None
        self._is_too_slow = False

    async def receive(self) -> ReceiveMessage:
        if self.is_complete:
            # The next message is the disconnect, which may take as long as the response.
            return await self._receive()
        task = self._waiting = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(
                self._started_at + self._limits.least_allowed_s(self._bytes), self._check
            )
        try:
            message = await self._receive()
        except asyncio.CancelledError as error:
            if self._is_too_slow and task.uncancel() <= cancelling:
                raise ClientTooSlow from error
            raise
        finally:
            self._waiting = None
        if message["type"] == "http.request":
            self._bytes += len(message["body"])
            if self._bytes == self._content_length:
                # Avoids the wait for the empty message with which the server ends a body.
                message["more_body"] = False
            self.is_complete = not message["more_body"]
        return message

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        """Interrupts the wait for the next part if it is over. The next wait sets the timer."""
        self._timer = None
        if self._waiting is None:
            return
        due = self._started_at + self._limits.allowed_s(self._bytes)
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._check)
        else:
            self._is_too_slow = True
            self._waiting.cancel()


def content_length_of(headers: Mapping[bytes, bytes]) -> int | None:
    """Returns the declared length of a body; None for a chunked body (RFC 9112, section 6.3)."""
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not length.isdigit():
        return None
    return int(length[:18])
