"""Files that are served from memory: pages, scripts and descriptions."""

import gzip
import hashlib
from functools import cached_property
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.enums import HttpMethod

from service.api.http.conditional import if_none_match_matches

AnyRequest = Request[Any, Any, Any]

READING: Final = (HttpMethod.GET, HttpMethod.HEAD)
REVALIDATE = "no-cache"
IMMUTABLE = "public, max-age=31536000, immutable"


def security_headers(policy: str, connections: str = "'self'") -> dict[str, str]:
    """Returns the headers of a page with this content security policy.

    Its scripts may send requests to `connections`.
    """
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src 'self'; style-src 'self'; "
            f"connect-src {connections}; {policy}"
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }


class StaticFile(msgspec.Struct, frozen=True, dict=True):
    """File in memory. The compressed copy is made for the first client that accepts gzip."""

    content: bytes
    media_type: str
    headers: dict[str, str]

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def digest(self) -> str:
        return digest_of(self.content)

    def create_response(self, request: AnyRequest, cache_control: str) -> Response[bytes]:
        headers = {
            **self.headers,
            # Weak, because the compressed bytes have the same tag.
            "ETag": f'W/"{self.digest}"',
            "Cache-Control": cache_control,
            "Vary": "Accept-Encoding",
        }
        if if_none_match_matches(request.headers, self.digest):
            return Response(b"", status_code=304, headers=headers)
        content = self.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = self.compressed, "gzip"
        return Response(content, media_type=self.media_type, headers=headers)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
