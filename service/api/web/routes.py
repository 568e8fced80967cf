"""Routes of the web inbox: the page `/inbox` and its files.

The path of a file contains one digest of all files, so that the relative imports of the scripts
stay within one version, and clients may cache each file for ever.
"""

from functools import cache
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from litestar import Response, route
from litestar.exceptions import NotFoundException

from service.api.dependencies import App, UseCases
from service.api.http.static_file import (
    IMMUTABLE,
    READING,
    REVALIDATE,
    AnyRequest,
    StaticFile,
    digest_of,
    security_headers,
)

_PAGE = "index.html"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


@route("/inbox", http_method=READING)
async def get_inbox(request: AnyRequest, app: App) -> Response[bytes]:
    """Returns the page."""
    _check_enabled(app)
    return _page(app.recordings.public_origin).create_response(request, REVALIDATE)


@route("/inbox/{digest:str}/{path:path}", http_method=READING)
async def get_inbox_file(request: AnyRequest, digest: str, path: str, app: App) -> Response[bytes]:
    """Returns a file of the page."""
    _check_enabled(app)
    file = _files().get(str(path).lstrip("/"))
    if file is None or digest != _digest():
        raise NotFoundException
    return file.create_response(request, IMMUTABLE)


ROUTES = (get_inbox, get_inbox_file)


def _check_enabled(app: UseCases) -> None:
    if not app.has_web_inbox:
        raise NotFoundException


@cache
def _page(media_origin: str | None) -> StaticFile:
    """The page. Its scripts read the origin of redirected audio, which the policy allows."""
    page = _files()[_PAGE]
    content = page.content.replace(b"{base}", f"/inbox/{_digest()}".encode())
    content = content.replace(b"{media_origin}", escape(media_origin or "").encode())
    return StaticFile(content, page.media_type, _headers(media_origin))


def _headers(media_origin: str | None = None) -> dict[str, str]:
    # `data:` is for the icon with the number of new messages, `blob:` for recordings.
    origins = "'self'" if media_origin is None else f"'self' {media_origin}"
    return {
        **security_headers(f"img-src 'self' data:; media-src {origins} blob:; ", origins),
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    }


@cache
def _digest() -> str:
    return digest_of(b"".join(file.content for _, file in sorted(_files().items())))


@cache
def _files() -> dict[str, StaticFile]:
    return dict(_read(files("service.api.web") / "assets", ""))


def _read(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found: list[tuple[str, StaticFile]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif (suffix := entry.name[entry.name.rfind(".") :]) in _MEDIA_TYPES:
            file = StaticFile(entry.read_bytes(), _MEDIA_TYPES[suffix], _headers())
            found.append((prefix + entry.name, file))
    return found
