"""Token authentication for all dialects.

The places of a token and their order follow the authentication documents of the KAZOO API.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection

from service.api.http.peer import IPNetwork
from service.api.middleware.access_log import request_record_of
from service.domain.account import AccountFacts, Caller
from service.domain.audit import current_actor
from service.domain.errors import TokenInvalid
from service.usecases.sessions import Sessions

_READING = ("GET", "HEAD")

AnyConnection = ASGIConnection[Any, Any, Any, Any]


class AuthOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of authentication. `tokens_in_query` allows `?auth_token=` for GET and HEAD."""

    tokens_in_query: bool = True
    trusted_proxies: Sequence[IPNetwork] = ()


async def caller_of(connection: AnyConnection, sessions: Sessions, token: str) -> Caller:
    """Returns the caller that a token authenticates. Raises TokenInvalid."""
    return record_caller(connection, await sessions.authenticate(token))


def record_caller(connection: AnyConnection, caller: Caller) -> Caller:
    """Adds the caller to the access log and to the audit, and returns the caller.

    Raises TokenInvalid when `X-Auth-Account-ID` contains another account.
    """
    request_record_of(connection.scope).account_id = caller.account.account_id
    current_actor().identify(caller)
    expected = connection.headers.get("x-auth-account-id")
    if expected and expected.lower() != caller.account.account_id.hex:
        raise TokenInvalid
    return caller


def slot_owner(connection: AnyConnection, account: AccountFacts) -> UUID:
    """Returns the account whose share of slots a request for `account` uses.

    That is the account of the caller, also for its descendants. The root account acts for all
    others, so its requests use their shares.
    """
    caller_id = request_record_of(connection.scope).account_id
    root_id = account.ancestors[0] if account.ancestors else account.account_id
    return account.account_id if caller_id in (None, root_id) else caller_id


def token_of(connection: AnyConnection, *, tokens_in_query: bool) -> str | None:
    """Returns the token of `X-Auth-Token`, `?auth_token=` or `Authorization: Bearer`.

    The first one that is not empty is used. The query is read for GET and HEAD only: audio players
    in a browser cannot set headers, and a token in a URL may end up in logs and histories.
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
