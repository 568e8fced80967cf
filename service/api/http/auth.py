"""Who calls: takes the token from a request and turns it into a Caller, the same for all dialects.

The order in which a token is looked for follows the KAZOO API's authentication documents.
"""

from typing import Any

import msgspec
from litestar.connection import ASGIConnection

from service.api.middleware.access_log import request_record_of
from service.domain.account import Caller
from service.domain.errors import TokenInvalid
from service.usecases.sessions import Sessions

_READING = ("GET", "HEAD")

AnyConnection = ASGIConnection[Any, Any, Any, Any]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator can set of how callers may show who they are."""

    tokens_in_query: bool = True


async def caller_of(connection: AnyConnection, sessions: Sessions, token: str) -> Caller:
    """Whom a token stands for. Raises TokenInvalid."""
    return noted(connection, await sessions.authenticate(token))


def noted(connection: AnyConnection, caller: Caller) -> Caller:
    """The caller, whom the request's log line names from now on. Raises TokenInvalid when
    `X-Auth-Account-ID` names another account."""
    request_record_of(connection.scope).account_id = caller.account.account_id
    expected = connection.headers.get("x-auth-account-id")
    if expected and expected.lower() != caller.account.account_id.hex:
        raise TokenInvalid
    return caller


def token_of(connection: AnyConnection, *, tokens_in_query: bool) -> str | None:
    """The token that a request presents: `X-Auth-Token`, `?auth_token=`, `Authorization: Bearer`.

    The first that is not empty counts. The query does so for GET and HEAD only: what plays audio
    in a browser cannot set headers, and nothing else needs a token that ends up in histories.
    """
    if token := connection.headers.get("x-auth-token"):
        return token
    if tokens_in_query and connection.scope.get("method") in _READING:
        in_query: str | None = connection.query_params.get("auth_token")
        if in_query:
            return in_query
    return _bearer(connection.headers.get("authorization", ""))


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
