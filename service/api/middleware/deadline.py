"""Deadline of a request."""

import asyncio

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from service.domain.errors import Unavailable


class DeadlineExceeded(Unavailable):
    """The request took too long; retry in a moment."""


class DeadlineMiddleware(ASGIMiddleware):
    """Cancels a request that exceeds its deadline and raises DeadlineExceeded.

    The cancellation also ends the Postgres statement or S3 request that is in progress. The timer
    stops while a body arrives, and restarts with each part of the response that the client reads.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        now = asyncio.get_running_loop().time
        is_complete = False

        async def receive_untimed() -> ReceiveMessage:
            nonlocal is_complete
            if is_complete:
                return await receive()
            timeout.reschedule(None)
            try:
                message = await receive()
            finally:
                timeout.reschedule(now() + self._deadline_s)
            is_complete = message["type"] != "http.request" or not message["more_body"]
            return message

        async def send_timed(message: Message) -> None:
            await send(message)
            if message.get("more_body", True):
                timeout.reschedule(now() + self._deadline_s)

        try:
            async with asyncio.timeout(self._deadline_s) as timeout:
                await next_app(scope, receive_untimed, send_timed)
        except TimeoutError as error:
            raise DeadlineExceeded(scope["path"]) from error
