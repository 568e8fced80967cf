"""Headers of responses that forbid caching and the guessing of content types."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_CACHE_CONTROL = b"cache-control"
_NO_STORE = (_CACHE_CONTROL, b"private, no-store")


class ResponseHeadersMiddleware:
    """Adds `X-Content-Type-Options`, and `Cache-Control: private, no-store` if it is absent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], _NO_SNIFF]
                if not any(name.lower() == _CACHE_CONTROL for name, _ in headers):
                    headers.append(_NO_STORE)
                message["headers"] = headers
            await send(message)

        is_http = scope["type"] == ScopeType.HTTP
        await self._app(scope, receive, send_with_headers if is_http else send)
