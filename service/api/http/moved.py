"""Redirects of requests to accounts that were moved to another deployment."""

from typing import Any

from litestar import Request

from service.domain.move import AccountMoved


def redirect_headers(request: Request[Any, Any, Any], error: Exception) -> dict[str, str]:
    """Returns the headers that lead a request to the new address; none for other errors.

    The response is not cached, because a move can be reversed.
    """
    if not isinstance(error, AccountMoved):
        return {}
    scope = request.scope
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1").partition("?")[0]
    location = error.url.rstrip("/") + path + (f"?{query}" if query else "")
    return {"Location": location, "Cache-Control": "no-store"}
