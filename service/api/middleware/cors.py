"""What surrounds every request, whatever its dialect: its id, its path without a trailing slash.

Plain ASGI in front of the application, so that refusals of the HTTP layer are framed as well.
"""

import os
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.api.middleware.access_log import request_record_of

_MAX_REQUEST_ID = 128
_CORS_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"content-type, x-auth-token, x-kazoo-cluster-id, x-request-id, location, etag, "
        b"content-range, accept-ranges",
    ),
]
_PREFLIGHT_HEADERS = [
    (
        b"access-control-allow-headers",
        b"content-type, user-agent, x-requested-with, if-modified-since, if-match, if-none-match, "
        b"cache-control, range, authorization, x-auth-token, x-auth-account-id, x-auth-reseller, "
        b"x-auth-user, x-auth-password, x-auth-for, x-request-id, idempotency-key, "
        # Of what KAZOO allows, Monster UI sends the first; old uploads in browsers send the others.
        b"x-kazoo-cluster-id, depth, x-http-method-override, x-file-name, x-file-size",
    ),
    (b"access-control-max-age", b"86400"),
]
_ALL_METHODS = b"OPTIONS, GET, HEAD, PUT, POST, PATCH, DELETE"
_NO_METHOD = "NONE"
_PREFLIGHT_ASKS = frozenset(
    {b"origin", b"access-control-request-method", b"access-control-request-headers"}
)


class Frame:
    """Gives each request an id (its own `X-Request-ID` when it has one) and answers preflights."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id", b""))
        scope["state"]["request_id"] = request_record_of(scope).request_id = request_id
        framing = [(b"x-request-id", request_id.encode()), *_CORS_HEADERS]
        path = scope["path"].rstrip("/") or "/"
        framed: Any = {**scope, "path": path, "raw_path": path.encode()}
        if scope["method"] == "OPTIONS":
            # Litestar would answer it on every route: as a method that no route has, it is a 405.
            framed["method"] = _NO_METHOD
            if _PREFLIGHT_ASKS & headers.keys():
                await _answer_preflight(send, framing, await self._methods(framed, receive))
                return

        async def send_framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *framing]
            await send(message)

        await self._app(framed, receive, send_framed)

    async def _methods(self, scope: Any, receive: Receive) -> bytes:
        """What a path takes, as its refusal of the method names it; every method if it is none."""
        methods = _ALL_METHODS

        async def take(message: Message) -> None:
            nonlocal methods
            if message["type"] == "http.response.start":
                methods = dict(message["headers"]).get(b"allow", methods)

        await self._app(scope, receive, take)
        return methods


def _request_id(given: bytes) -> str:
    """The caller's id when it is short and printable; else one of ours."""
    text = given.decode("latin-1")
    if 0 < len(text) <= _MAX_REQUEST_ID and text.isascii() and text.isprintable():
        return text
    return os.urandom(16).hex()


async def _answer_preflight(send: Send, framing: list[tuple[bytes, bytes]], methods: bytes) -> None:
    allowed = (b"access-control-allow-methods", methods)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*framing, allowed, *_PREFLIGHT_HEADERS, (b"content-length", b"0")],
        }
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})
