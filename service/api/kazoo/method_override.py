"""Rewrites requests that have their verb, token, Accept value or account in another place.

KAZOO API docs, "Basics of the REST API": a POST may contain another verb in `?verb=` or in its
envelope; `?accept=` or `accept` in the envelope replaces the Accept header; the token may be in the
envelope or in its `data`, up to 64 KiB; `/v2/account/...` is the account of the token.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from service.api.body.json_body import MAX_JSON_BYTES
from service.api.kazoo.accept import JSON_TYPES
from service.api.kazoo.body import envelope_of
from service.api.kazoo.dependencies import OWN_ACCOUNT
from service.api.middleware.access_log import request_record_of
from service.api.middleware.body_memory import ANONYMOUS_BYTES, FREE_BYTES, body_memory_of
from service.api.middleware.body_rate import ClientTooSlow, content_length_of
from service.domain.errors import VoicemailError
from service.domain.schema import Document

_ALIAS = "/v2/account/"
_UNKNOWN_VERB = "NONE"
_VERBS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"})
_METHODS_WITH_BODY = frozenset({"PUT", "POST", "PATCH", "DELETE"})
_OVERRIDES = re.compile(rb'"(?:verb|auth[_-]token|accept)"', re.IGNORECASE)


class MethodOverrideMiddleware:
    """Middleware that rewrites requests under `/v2` before routing. It replays the body.

    A body is read only if `has_route` accepts the path. Above 8 KiB, `authenticate` checks the head
    of the request. If it has no valid credentials, at most 64 KiB are read.
    """

    def __init__(
        self,
        app: ASGIApp,
        has_route: Callable[[str, str], object],
        authenticate: Callable[[Scope], Awaitable[None]],
    ) -> None:
        self._app = app
        self._has_route = has_route
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith("/v2/"):
            await self._app(scope, receive, send)
            return
        request: Any = scope
        if f"{request['path']}/".startswith(_ALIAS):
            request["path"] = f"/v2/accounts/{OWN_ACCOUNT}" + request["path"][len(_ALIAS) - 1 :]
            request["raw_path"] = request["path"].encode()
        headers = request_record_of(scope).headers
        if _may_override(request["method"], headers) and self._has_route(
            request["path"], request["method"]
        ):
            body = _ReplayedBody(receive, request, self._authenticate)
            await body.read()
            if envelope := body.envelope():
                _apply(request, headers, envelope)
            receive = body.replay
        _apply_query(request)
        await self._app(request, receive, send)


class _ReplayedBody:
    """A body that is read up to its size limit. The rest is passed on unread."""

    def __init__(
        self, receive: Receive, scope: Scope, authenticate: Callable[[Scope], Awaitable[None]]
    ) -> None:
        self._receive = receive
        self._scope = scope
        self._authenticate = authenticate
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_complete = False
        # The message or the error that follows the chunks.
        self._last: ReceiveMessage | ClientTooSlow | VoicemailError | None = None

    async def read(self) -> None:
        limit = FREE_BYTES
        declared = content_length_of(request_record_of(self._scope).headers) or 0
        while not self._is_complete and self._last is None:
            if max(self._size, declared) > limit == FREE_BYTES:
                limit = await self._extended_limit()
            if max(self._size, declared) > limit:
                return
            await self._read_chunk()

    async def _extended_limit(self) -> int:
        await self._authenticate(self._scope)
        is_anonymous = request_record_of(self._scope).account_id is None
        return ANONYMOUS_BYTES if is_anonymous else MAX_JSON_BYTES

    async def _read_chunk(self) -> None:
        try:
            message = await self._receive()
            if message["type"] != "http.request":
                self._last = message
                return
            self._size += len(message["body"])
            body_memory_of(self._scope).hold(self._size)
            self._chunks.append(message["body"])
            self._is_complete = not message["more_body"]
        except (ClientTooSlow, VoicemailError) as error:
            self._last = error

    def envelope(self) -> Document:
        """Decodes the envelope if it overrides anything, else returns an empty object.

        A malformed body is reported when the route reads it.
        """
        self._chunks = [b"".join(self._chunks)]
        if not self._is_complete or not _OVERRIDES.search(self._chunks[0]):
            return {}
        try:
            body = self._chunks[0].removeprefix(BOM_UTF8)
            return envelope_of(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {}

    async def replay(self) -> ReceiveMessage:
        """Receives the body again. Raises the error of the first reading, if there was one."""
        if self._chunks:
            body, more = self._chunks.pop(), not self._is_complete
            return {"type": "http.request", "body": body, "more_body": more}
        if isinstance(self._last, Exception):
            raise self._last
        if self._last is not None:
            return self._last
        return await self._receive()


def _may_override(method: str, headers: Mapping[bytes, bytes]) -> bool:
    content_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0]
    return method in _METHODS_WITH_BODY and content_type.strip().lower() in JSON_TYPES


def _apply(request: Any, headers: Mapping[bytes, bytes], envelope: Document) -> None:
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
