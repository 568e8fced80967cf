"""Routes of the API description: `/openapi.json`, `/asyncapi.json` and the page `/docs`."""

from functools import cache
from importlib.resources import files

import msgspec
from litestar import Response, route
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from service.api.description.openapi.fields import Json
from service.api.http.static_file import (
    IMMUTABLE,
    READING,
    REVALIDATE,
    AnyRequest,
    StaticFile,
    security_headers,
)

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
_HEADERS = security_headers("img-src 'self' data:; media-src 'self' blob:; ")
_VIEWER_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


def create_routes(document: Json, events: Json) -> list[HTTPRouteHandler]:
    """Returns the routes, which need no authentication."""
    openapi = StaticFile(msgspec.json.encode(document), "application/json", _HEADERS)
    asyncapi = StaticFile(msgspec.json.encode(events), "application/json", _HEADERS)

    @route("/openapi.json", http_method=READING)
    async def get_openapi(request: AnyRequest) -> Response[bytes]:
        """Returns the OpenAPI document."""
        return openapi.create_response(request, REVALIDATE)

    @route("/asyncapi.json", http_method=READING)
    async def get_asyncapi(request: AnyRequest) -> Response[bytes]:
        """Returns the AsyncAPI document."""
        return asyncapi.create_response(request, REVALIDATE)

    return [get_openapi, get_asyncapi, get_docs, get_docs_file, get_root]


@route("/", http_method=READING)
async def get_root() -> Redirect:
    """Redirects `/` to the API documentation."""
    return Redirect("/docs", status_code=302, headers=dict(_HEADERS))


@route("/docs", http_method=READING)
async def get_docs(request: AnyRequest) -> Response[bytes]:
    """Returns the page that displays the OpenAPI document."""
    return _page().create_response(request, REVALIDATE)


@route("/docs/{digest:str}/{name:str}", http_method=READING)
async def get_docs_file(request: AnyRequest, digest: str, name: str) -> Response[bytes]:
    """Returns a file of the page. Its path contains its digest, so clients may cache it."""
    file = _files().get(name)
    if file is None or file.digest != digest:
        raise NotFoundException
    return file.create_response(request, IMMUTABLE)


@cache
def _page() -> StaticFile:
    paths = {name: f"/docs/{file.digest}/{name}" for name, file in _files().items()}
    page = _PAGE.format(
        favicon=paths["favicon-32x32.png"],
        style=paths["swagger-ui.css"],
        viewer=paths["swagger-ui-bundle.js"],
        start=paths["start.js"],
    )
    return StaticFile(page.encode(), "text/html", _HEADERS)


@cache
def _files() -> dict[str, StaticFile]:
    (folder,) = (files("swagger_ui_bundle") / "vendor").iterdir()
    viewer = {
        name: StaticFile((folder / name).read_bytes(), media_type, _HEADERS)
        for name, media_type in _VIEWER_FILES.items()
    }
    return {**viewer, "start.js": StaticFile(_START_SCRIPT, "text/javascript", _HEADERS)}
