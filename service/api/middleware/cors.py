"""Cross-origin resource sharing: every origin may call the API.

`service.api.middleware.response_headers` adds the headers of responses that are not preflights.
"""

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

ALLOW_ORIGIN = b"access-control-allow-origin"
CORS_HEADERS = [
    (ALLOW_ORIGIN, b"*"),
    (
        b"access-control-expose-headers",
        b"content-type, x-auth-token, x-kazoo-cluster-id, x-request-id, location, etag, "
        b"content-range, accept-ranges, content-disposition, retry-after",
    ),
]
_PREFLIGHT_HEADERS = [
    (
        b"access-control-allow-headers",
        b"content-type, user-agent, x-requested-with, if-modified-since, if-match, if-none-match, "
        b"cache-control, range, authorization, x-auth-token, x-auth-account-id, x-auth-reseller, "
        b"x-auth-user, x-auth-password, x-auth-for, x-request-id, idempotency-key, "
        # KAZOO allows these too: Monster UI sends the first, old browser uploads the others.
        b"x-kazoo-cluster-id, depth, x-http-method-override, x-file-name, x-file-size",
    ),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
]
_ALL_METHODS = b"OPTIONS, GET, HEAD, PUT, POST, PATCH, DELETE"
_UNKNOWN_METHOD = "NONE"
_PREFLIGHT_REQUEST_HEADERS = frozenset(
    {b"origin", b"access-control-request-method", b"access-control-request-headers"}
)


class CorsMiddleware:
    """Answers preflight requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == "OPTIONS":
            # Litestar would answer OPTIONS on every route. An unknown method gives a 405.
            unrouted: Any = {**scope, "method": _UNKNOWN_METHOD}
            if _PREFLIGHT_REQUEST_HEADERS & dict(scope["headers"]).keys():
                await _send_preflight(send, await self._allowed_methods(unrouted, receive))
                return
            scope = unrouted
        await self._app(scope, receive, send)

    async def _allowed_methods(self, scope: Scope, receive: Receive) -> bytes:
        """Returns the `Allow` header of the path's 405, or every method for an unknown path."""
        methods = _ALL_METHODS

        async def read_allow(message: Message) -> None:
            nonlocal methods
            if message["type"] == "http.response.start":
                methods = dict(message["headers"]).get(b"allow", methods)

        await self._app(scope, receive, read_allow)
        return methods


async def _send_preflight(send: Send, methods: bytes) -> None:
    allowed = (b"access-control-allow-methods", methods)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*CORS_HEADERS, allowed, *_PREFLIGHT_HEADERS],
        }
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})
