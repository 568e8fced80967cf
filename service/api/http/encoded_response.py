"""Response whose body is already encoded."""

from typing import Any

from litestar import Response
from litestar.types import Receive, Scope, Send


class EncodedResponse(Response[bytes]):
    """Response with a media type, and a status that allows a body.

    It sends itself. Litestar would copy the headers and the body several times.
    """

    def to_asgi_response(self, *_args: Any, **_options: Any) -> Any:
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = {"content-type": self.media_type, "content-length": str(len(self.content))}
        headers |= {name.lower(): value for name, value in self.headers.items()}
        encoded = [(name.encode(), str(value).encode("latin-1")) for name, value in headers.items()]
        start: Any = {"type": "http.response.start", "status": self.status_code, "headers": encoded}
        await send(start)
        await send({"type": "http.response.body", "body": self.content, "more_body": False})
