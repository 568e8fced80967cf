"""Deadline of a request."""

import asyncio
from types import TracebackType

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from service.api.middleware.access_log import RequestRecord, request_record_of
from service.domain.errors import Unavailable


class DeadlineExceeded(Unavailable):
    """The request took too long; retry in a moment."""


class Deadline:
    """Cancels the work in the block when it exceeds the deadline, and raises DeadlineExceeded.

    The cancellation also ends the Postgres statement or S3 request that is in progress. The time
    stops while a body arrives, and restarts with each part of the response that the client reads.
    One timer per request is enough: it reads these times from the record when it fires.
    """

    __slots__ = (
        "_cancelling",
        "_deadline_s",
        "_is_exceeded",
        "_loop",
        "_path",
        "_record",
        "_started_at",
        "_task",
        "_timer",
    )

    def __init__(self, record: RequestRecord, path: str, deadline_s: float) -> None:
        self._record = record
        self._path = path
        self._deadline_s = deadline_s

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._is_exceeded = False
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._timer = self._loop.call_at(self._started_at + self._deadline_s, self._check)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._is_exceeded:
            is_ours = self._task.uncancel() <= self._cancelling
            if is_ours and kind is asyncio.CancelledError:
                raise DeadlineExceeded(self._path) from error
        if kind is TimeoutError:
            raise DeadlineExceeded(self._path) from error

    def _check(self) -> None:
        now, record = self._loop.time(), self._record
        started_at = now if record.is_receiving else max(self._started_at, record.active_at)
        due = started_at + self._deadline_s
        if now < due:
            self._timer = self._loop.call_at(due, self._check)
        else:
            self._is_exceeded = True
            self._task.cancel()


class DeadlineMiddleware(ASGIMiddleware):
    """Bounds the time of each request."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        with Deadline(request_record_of(scope), scope["path"], self._deadline_s):
            await next_app(scope, receive, send)
