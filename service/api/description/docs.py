"""The service's own description: `/openapi.json`, `/docs`, which shows it, `/asyncapi.json`."""

import gzip
import hashlib
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import Request, Response, route
from litestar.enums import HttpMethod
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from service.api.description.openapi.fields import Json
from service.api.http.conditional import if_none_match_matches

AnyRequest = Request[Any, Any, Any]

_READING: Final = (HttpMethod.GET, HttpMethod.HEAD)
_FRESH = "no-cache"
_FOR_EVER = "public, max-age=31536000, immutable"
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Aftertone: API</title>
<link rel="icon" type="image/png" href="{favicon}">
<link rel="stylesheet" href="{style}">
</head>
<body>
<div id="viewer"></div>
<noscript>The description itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="{viewer}"></script>
<script src="{start}"></script>
</body>
</html>
"""
_START = b"""\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""
# `data:` is for the pictures in the viewer's style sheet, `blob:` for audio that it plays.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_VIEWER_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


class _File(msgspec.Struct, frozen=True, dict=True):
    """Something that is kept in memory, and once more compressed when first asked for so."""

    content: bytes
    media_type: str

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:32]

    def answer(self, request: AnyRequest, cached: str) -> Response[bytes]:
        headers = {
            **_SAFE,
            # Weak: it stands for the compressed bytes as well.
            "ETag": f'W/"{self.digest}"',
            "Cache-Control": cached,
            "Vary": "Accept-Encoding",
        }
        if if_none_match_matches(request.headers, self.digest):
            return Response(b"", status_code=304, headers=headers)
        content = self.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = self.compressed, "gzip"
        return Response(content, media_type=self.media_type, headers=headers)


def create_routes(document: Json, events: Json) -> list[HTTPRouteHandler]:
    """`/openapi.json`, `/asyncapi.json`, `/docs` with its files, and `/`, which leads there; for
    everybody."""
    described = _File(msgspec.json.encode(document), "application/json")
    described_events = _File(msgspec.json.encode(events), "application/json")

    @route("/openapi.json", http_method=_READING)
    async def get_description(request: AnyRequest) -> Response[bytes]:
        """The OpenAPI document."""
        return described.answer(request, _FRESH)

    @route("/asyncapi.json", http_method=_READING)
    async def get_events_description(request: AnyRequest) -> Response[bytes]:
        """The AsyncAPI document."""
        return described_events.answer(request, _FRESH)

    return [get_description, get_events_description, get_docs, get_docs_file, get_root]


@route("/", http_method=_READING)
async def get_root() -> Redirect:
    """Whoever comes with a browser and no path wants to read."""
    return Redirect("/docs", status_code=302, headers=dict(_SAFE))


@route("/docs", http_method=_READING)
async def get_docs(request: AnyRequest) -> Response[bytes]:
    """The page."""
    return _page().answer(request, _FRESH)


@route("/docs/{digest:str}/{name:str}", http_method=_READING)
async def get_docs_file(request: AnyRequest, digest: str, name: str) -> Response[bytes]:
    """A file of the page; its path changes with its content, so it may be kept for ever."""
    file = _files().get(name)
    if file is None or file.digest != digest:
        raise NotFoundException
    return file.answer(request, _FOR_EVER)


@cache
def _page() -> _File:
    paths = {name: f"/docs/{file.digest}/{name}" for name, file in _files().items()}
    page = _PAGE.format(
        favicon=paths["favicon-32x32.png"],
        style=paths["swagger-ui.css"],
        viewer=paths["swagger-ui-bundle.js"],
        start=paths["start.js"],
    )
    return _File(page.encode(), "text/html")


@cache
def _files() -> dict[str, _File]:
    (folder,) = (files("swagger_ui_bundle") / "vendor").iterdir()
    viewer = {
        name: _File((folder / name).read_bytes(), media_type)
        for name, media_type in _VIEWER_FILES.items()
    }
    return {**viewer, "start.js": _File(_START, "text/javascript")}
