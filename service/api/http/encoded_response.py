"""Response whose body is already encoded."""

from collections.abc import Mapping
from typing import Any

from litestar import Response
from litestar.types import Receive, Scope, Send


class EncodedResponse(Response[bytes]):
    """Response with a media type, and a status that allows a body.

    It sends itself, because Litestar checks the parts of a response and copies its headers and body
    several times.
    """

    def __init__(
        self,
        content: bytes,
        *,
        status_code: int,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.content = content
        self.status_code = status_code
        self.media_type = media_type
        self.headers = dict(headers or {})
        self.cookies = []
        self.background = None

    def to_asgi_response(self, *_args: Any, **_options: Any) -> Any:
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = {b"content-type": str(self.media_type), b"content-length": str(len(self.content))}
        for name, value in self.headers.items():
            headers[name.lower().encode()] = value
        encoded = [(name, value.encode("latin-1")) for name, value in headers.items()]
        start: Any = {"type": "http.response.start", "status": self.status_code, "headers": encoded}
        await send(start)
        await send({"type": "http.response.body", "body": self.content, "more_body": False})
