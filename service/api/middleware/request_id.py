"""Request id and path normalization."""

import os

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.api.middleware.access_log import request_record_of

_MAX_REQUEST_ID = 128


class RequestIdMiddleware:
    """Sets the request id, returns it as `X-Request-ID`, and removes trailing slashes of the path.

    The client's own `X-Request-ID` is used when it is short and printable.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request_id = _request_id_of(scope)
        scope["state"]["request_id"] = request_record_of(scope).request_id = request_id
        scope["path"] = scope["path"].rstrip("/") or "/"
        scope["raw_path"] = scope["path"].encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"x-request-id", request_id.encode())
                message["headers"] = [*message["headers"], header]
            await send(message)

        await self._app(scope, receive, send_with_id)


def _request_id_of(scope: Scope) -> str:
    value = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    if 0 < len(value) <= _MAX_REQUEST_ID and value.isascii() and value.isprintable():
        return value
    return os.urandom(16).hex()
