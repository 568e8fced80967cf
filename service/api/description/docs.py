"""Routes of the API description: `/openapi.json`, `/asyncapi.json` and the page `/docs`."""

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
_REVALIDATE = "no-cache"
_IMMUTABLE = "public, max-age=31536000, immutable"
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
<noscript>Without JavaScript, read <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="{viewer}"></script>
<script src="{start}"></script>
</body>
</html>
"""
_START_SCRIPT = b"""\
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
# `data:` is for the images in the viewer's style sheet, `blob:` for the audio that it plays.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_VIEWER_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


class _StaticFile(msgspec.Struct, frozen=True, dict=True):
    """File in memory. The compressed copy is made for the first client that accepts gzip."""

    content: bytes
    media_type: str

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:32]

    def create_response(self, request: AnyRequest, cache_control: str) -> Response[bytes]:
        headers = {
            **_SECURITY_HEADERS,
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


def create_routes(document: Json, events: Json) -> list[HTTPRouteHandler]:
    """Returns the routes, which need no authentication."""
    openapi = _StaticFile(msgspec.json.encode(document), "application/json")
    asyncapi = _StaticFile(msgspec.json.encode(events), "application/json")

    @route("/openapi.json", http_method=_READING)
    async def get_openapi(request: AnyRequest) -> Response[bytes]:
        """Returns the OpenAPI document."""
        return openapi.create_response(request, _REVALIDATE)

    @route("/asyncapi.json", http_method=_READING)
    async def get_asyncapi(request: AnyRequest) -> Response[bytes]:
        """Returns the AsyncAPI document."""
        return asyncapi.create_response(request, _REVALIDATE)

    return [get_openapi, get_asyncapi, get_docs, get_docs_file, get_root]


@route("/", http_method=_READING)
async def get_root() -> Redirect:
    """Redirects `/` to the API documentation."""
    return Redirect("/docs", status_code=302, headers=dict(_SECURITY_HEADERS))


@route("/docs", http_method=_READING)
async def get_docs(request: AnyRequest) -> Response[bytes]:
    """Returns the page that displays the OpenAPI document."""
    return _page().create_response(request, _REVALIDATE)


@route("/docs/{digest:str}/{name:str}", http_method=_READING)
async def get_docs_file(request: AnyRequest, digest: str, name: str) -> Response[bytes]:
    """Returns a file of the page. Its path contains its digest, so clients may cache it."""
    file = _files().get(name)
    if file is None or file.digest != digest:
        raise NotFoundException
    return file.create_response(request, _IMMUTABLE)


@cache
def _page() -> _StaticFile:
    paths = {name: f"/docs/{file.digest}/{name}" for name, file in _files().items()}
    page = _PAGE.format(
        favicon=paths["favicon-32x32.png"],
        style=paths["swagger-ui.css"],
        viewer=paths["swagger-ui-bundle.js"],
        start=paths["start.js"],
    )
    return _StaticFile(page.encode(), "text/html")


@cache
def _files() -> dict[str, _StaticFile]:
    (folder,) = (files("swagger_ui_bundle") / "vendor").iterdir()
    viewer = {
        name: _StaticFile((folder / name).read_bytes(), media_type)
        for name, media_type in _VIEWER_FILES.items()
    }
    return {**viewer, "start.js": _StaticFile(_START_SCRIPT, "text/javascript")}
