"""Rewrites requests that carry their verb, token, Accept header or account in another place.

KAZOO API docs, "Basics of the REST API": a POST may contain another verb in `?verb=` or in its
envelope; `?accept=` or `accept` in the envelope replaces the Accept header; the token may be in the
envelope or in its `data`; `/v2/account/...` is the account of the token.
"""

from typing import Any
from urllib.parse import parse_qs

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from service.api.body.json_body import MAX_JSON_BYTES
from service.api.kazoo.accept import JSON_TYPES
from service.api.kazoo.body import envelope_of
from service.api.kazoo.dependencies import OWN_ACCOUNT
from service.api.middleware.body_rate import ClientTooSlow
from service.domain.schema import Document

_ALIAS = "/v2/account/"
_UNKNOWN_VERB = "NONE"
_VERBS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"})
_METHODS_WITH_BODY = frozenset({"PUT", "POST", "PATCH", "DELETE"})
_OVERRIDES = (b'"verb"', b'"auth_token"', b'"auth-token"', b'"accept"')


class MethodOverrideMiddleware:
    """Middleware that rewrites requests under `/v2` before routing. It replays the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith("/v2/"):
            await self._app(scope, receive, send)
            return
        request: Any = {**scope}
        if f"{request['path']}/".startswith(_ALIAS):
            request["path"] = f"/v2/accounts/{OWN_ACCOUNT}" + request["path"][len(_ALIAS) - 1 :]
            request["raw_path"] = request["path"].encode()
        headers = dict(request["headers"])
        if _may_override(request["method"], headers):
            body = _ReplayedBody(receive)
            await body.read()
            _apply(request, headers, body.envelope())
            receive = body.replay
        _apply_query(request)
        await self._app(request, receive, send)


class _ReplayedBody:
    """A body that is read up to the size limit of JSON. The rest is passed on unread."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._events: list[ReceiveMessage] = []
        self._bytes = bytearray()
        self._is_complete = False
        self._failure: ClientTooSlow | None = None

    async def read(self) -> None:
        while not self._is_complete and len(self._bytes) <= MAX_JSON_BYTES:
            try:
                event = await self._receive()
            except ClientTooSlow as error:
                self._failure = error
                return
            self._events.append(event)
            if event["type"] != "http.request":
                return
            self._bytes += event["body"]
            self._is_complete = not event["more_body"]

    def envelope(self) -> Document:
        """Decodes the envelope if it overrides anything; empty for a malformed body, which is
        reported when the route reads it."""
        if not self._is_complete or not any(name in self._bytes.lower() for name in _OVERRIDES):
            return {}
        try:
            return envelope_of(msgspec.json.decode(self._bytes, type=dict[str, msgspec.Raw]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {}

    async def replay(self) -> ReceiveMessage:
        """Receives the body again. Raises the error with which the first reading ended, if any."""
        if self._events:
            return self._events.pop(0)
        if self._failure is not None:
            raise self._failure
        return await self._receive()


def _may_override(method: str, headers: dict[bytes, bytes]) -> bool:
    content_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0]
    length = headers.get(b"content-length", b"")
    small = not length.isdigit() or int(length[:18]) <= MAX_JSON_BYTES
    return method in _METHODS_WITH_BODY and content_type.strip().lower() in JSON_TYPES and small


def _apply(request: Any, headers: dict[bytes, bytes], envelope: Document) -> None:
    if verb := _string(envelope, "verb"):
        _apply_verb(request, verb)
    token = _string(_data_of(envelope), "auth_token") or _string(envelope, "auth_token")
    if token is not None and token.isascii() and not headers.get(b"x-auth-token"):
        _set_header(request, b"x-auth-token", token)
    if (accept := _string(envelope, "accept")) is not None:
        _set_header(request, b"accept", accept)


def _data_of(envelope: Document) -> Document:
    try:
        return msgspec.json.decode(envelope.get("data", b"{}"), type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        return {}


def _string(envelope: Document, name: str) -> str | None:
    """Returns a string of the envelope; None for any other type."""
    try:
        return msgspec.json.decode(envelope.get(name, b"null"), type=str | None)
    except msgspec.MsgspecError:
        return None


def _apply_query(request: Any) -> None:
    if b"verb=" in request["query_string"] or b"accept=" in request["query_string"]:
        query = parse_qs(request["query_string"].decode("latin-1"))
        for verb in query.get("verb", ()):
            _apply_verb(request, verb)
        for accept in query.get("accept", ()):
            _set_header(request, b"accept", accept)


def _set_header(request: Any, name: bytes, value: str) -> None:
    others = [pair for pair in request["headers"] if pair[0] != name]
    request["headers"] = [*others, (name, value.encode("latin-1", "replace"))]


def _apply_verb(request: Any, verb: str) -> None:
    """Replaces the method of a POST. A GET must never change anything, so its verb is ignored.

    An unknown verb becomes a method that no route accepts, so that it is not treated as POST.
    """
    if request["method"] == "POST":
        request["method"] = verb.upper() if verb.upper() in _VERBS else _UNKNOWN_VERB
