"""Content negotiation: the content types of request bodies and of responses.

A route declares its types by `opt={MEDIA: ...}`. The default is JSON for both.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from service.api.kazoo.field_selection import check_fields
from service.domain.audio_errors import FormatNotAcceptable
from service.domain.errors import ContentTypeRefused
from service.usecases.uploads import ACCEPTED_TYPES, STORED_TYPES

AnyRequest = Request[Any, Any, Any]

MEDIA = "media"
# `curl -d` without a content type sends the form type, as half of the documented calls do.
JSON_TYPES = frozenset(
    {"", "application/json", "application/x-json", "application/x-www-form-urlencoded"}
)
MULTIPART_TYPES = frozenset({"multipart/form-data", "multipart/mixed"})
BASE64_TYPES = frozenset({"application/base64", "application/x-base64"})
ZIP_TYPE = "application/zip"

# A DELETE may have a body of any type, and a GET has none.
_TYPED_METHODS = frozenset({"PUT", "POST", "PATCH"})
_DOCUMENTED = MULTIPART_TYPES | {"application/json", "application/base64", *STORED_TYPES}
_ANYTHING = frozenset({"", "*/*"})
_REFUSED = re.compile(r";\s*q\s*=\s*0?(\.0*)?\s*(;|\Z)", re.IGNORECASE)


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """Content types of the request bodies that a route accepts, and of its responses.

    `synonyms` are other names of the types of responses. With `has_renditions`, the response can
    be converted audio, and the handler chooses its type.
    """

    accepts: frozenset[str] = JSON_TYPES | MULTIPART_TYPES
    returns: tuple[str, ...] = ("application/json",)
    synonyms: frozenset[str] = frozenset()
    has_renditions: bool = False

    @property
    def documented(self) -> list[str]:
        """Accepted types without their synonyms."""
        return sorted(self.accepts & _DOCUMENTED)


JSON = Media()
UPLOAD = Media(accepts=JSON_TYPES | MULTIPART_TYPES | BASE64_TYPES | ACCEPTED_TYPES)
# The response has the stored type, whichever type of audio the client prefers.
AUDIO = Media(returns=tuple(sorted(STORED_TYPES)))
RECORDING = Media(returns=AUDIO.returns, synonyms=ACCEPTED_TYPES, has_renditions=True)
# KAZOO documents `application/zip` as the type of the JSON request, too.
ZIP = Media(accepts=JSON_TYPES | {ZIP_TYPE}, returns=(ZIP_TYPE,))


def negotiate(request: AnyRequest) -> None:
    """Raises ContentTypeRefused if the route does not accept the type of the body, HTTPException
    406 or FormatNotAcceptable if the client accepts no type of the response, and Invalid if the
    route does not support `fields`."""
    media: Media = request.route_handler.opt.get(MEDIA, JSON)
    if request.method in _TYPED_METHODS and content_type_of(request) not in media.accepts:
        raise ContentTypeRefused(media.documented)
    if not is_acceptable(request.headers.get("accept", ""), {*media.returns, *media.synonyms}):
        if media.has_renditions:
            raise FormatNotAcceptable
        raise HTTPException(status_code=406)
    check_fields(request, is_supported=media.returns == JSON.returns)


def content_type_of(request: AnyRequest) -> str:
    """Returns the media type of the body without parameters; empty if there is none."""
    return media_type_of(request.headers.get("content-type", ""))


def media_type_of(content_type: str) -> str:
    """Returns a content type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_acceptable(accept: str, types: Iterable[str]) -> bool:
    """Returns True if an Accept header allows one of the types (RFC 9110, section 12.5.1).

    The most specific range decides on a type; `q=0` excludes it.
    """
    if accept.strip() in _ANYTHING:
        return True
    ranges = {media_type_of(part): not _REFUSED.search(part) for part in accept.split(",")}
    default = ranges.get("*/*", ranges.get("*", False))
    return any(
        ranges.get(name, ranges.get(f"{name.partition('/')[0]}/*", default)) for name in types
    )
