"""Request whose headers and query are parsed once. Litestar copies them at each access."""

from typing import Any

from litestar import Request
from litestar.datastructures import Headers, MultiDict
from litestar.types import Receive, Scope, Send


class LeanRequest(Request[Any, Any, Any]):
    """Request with cached headers and query. Neither may be changed."""

    __slots__ = ("_lean_headers", "_lean_query")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._lean_headers: Headers | None = None
        self._lean_query: MultiDict[Any] | None = None

    @property
    def headers(self) -> Headers:
        if self._lean_headers is None:
            self._lean_headers = super().headers
        return self._lean_headers

    @property
    def query_params(self) -> MultiDict[Any]:
        if self._lean_query is None:
            self._lean_query = super().query_params
        return self._lean_query
