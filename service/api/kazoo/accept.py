"""Content negotiation: which bodies a route takes, and whether its answers are welcome.

A route says so by `opt={MEDIA: ...}`; one that says nothing takes JSON and gives JSON.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from service.usecases.uploads import ACCEPTED_TYPES

AnyRequest = Request[Any, Any, Any]

MEDIA = "media"
# curl -d without a content type sends the form type; half of the documented calls do.
JSON_TYPES = frozenset(
    {"", "application/json", "application/x-json", "application/x-www-form-urlencoded"}
)
MULTIPART_TYPES = frozenset({"multipart/form-data", "multipart/mixed"})
BASE64_TYPES = frozenset({"application/base64", "application/x-base64"})
ZIP_TYPE = "application/zip"

# A DELETE may come with any body, and a GET has none.
_JUDGED_BY_BODY = frozenset({"PUT", "POST", "PATCH"})
_ANYTHING = frozenset({"", "*/*"})
_REFUSED = re.compile(r";\s*q\s*=\s*0?(\.0*)?\s*(;|\Z)", re.IGNORECASE)


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """The content types of bodies that a route takes, and of what it answers with."""

    takes: frozenset[str] = JSON_TYPES | MULTIPART_TYPES
    gives: tuple[str, ...] = ("application/json",)


JSON = Media()
UPLOAD = Media(takes=JSON_TYPES | MULTIPART_TYPES | BASE64_TYPES | ACCEPTED_TYPES)
# What is sent is what was stored, whichever type of audio was asked for.
AUDIO = Media(gives=tuple(sorted(ACCEPTED_TYPES)))
# The documented type of such a request's JSON is that of its answer.
ZIP = Media(takes=JSON_TYPES | {ZIP_TYPE}, gives=(ZIP_TYPE,))


def negotiate(request: AnyRequest) -> None:
    """Raises HTTPException 415 for a body that the route does not take, 406 for an answer that
    the client does not."""
    media: Media = request.route_handler.opt.get(MEDIA, JSON)
    if request.method in _JUDGED_BY_BODY and content_type_of(request) not in media.takes:
        raise HTTPException(status_code=415)
    if not is_welcome(request.headers.get("accept", ""), media.gives):
        raise HTTPException(status_code=406)


def content_type_of(request: AnyRequest) -> str:
    """The media type of the body, bare and in lower case; empty when there is none."""
    return bare(request.headers.get("content-type", ""))


def bare(content_type: str) -> str:
    """A media type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_welcome(accept: str, types: Iterable[str]) -> bool:
    """Whether an Accept header lets one of the types pass (RFC 9110, section 12.5.1).

    What names a type most closely decides on it; `q=0` refuses it.
    """
    if accept.strip() in _ANYTHING:
        return True
    wanted = {bare(part): not _REFUSED.search(part) for part in accept.split(",")}
    anything = wanted.get("*/*", wanted.get("*", False))
    return any(wanted.get(one, wanted.get(f"{one.partition('/')[0]}/*", anything)) for one in types)
