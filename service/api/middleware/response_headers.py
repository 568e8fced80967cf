"""Headers of all responses: CORS, request id, no caching and no guessing of content types."""

from collections.abc import Iterable

from service.api.middleware.cors import ALLOW_ORIGIN, CORS_HEADERS

Header = tuple[bytes, bytes]

_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_CACHE_CONTROL = b"cache-control"
_NO_STORE = (_CACHE_CONTROL, b"private, no-store")
_COMMON = [_NO_SNIFF, *CORS_HEADERS]
_COMMON_NOT_STORED = [_NO_SNIFF, _NO_STORE, *CORS_HEADERS]


def with_common_headers(headers: Iterable[Header], request_id: str) -> list[Header]:
    """Returns the headers of a response with those that all responses have.

    `Cache-Control: private, no-store` is added if the response has no `Cache-Control`. The response
    to a preflight request, which has its CORS headers already, gets the request id only.
    """
    names = {name for name, _ in headers}
    if ALLOW_ORIGIN in names:
        common: list[Header] = []
    else:
        common = _COMMON if _CACHE_CONTROL in names else _COMMON_NOT_STORED
    return [*headers, *common, (b"x-request-id", request_id.encode())]
