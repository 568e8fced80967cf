"""What a handler of this dialect works with: the caller's account, and ids from the path."""

from typing import Any
from uuid import UUID

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import UNSET

from service.api.dependencies import App, UseCases
from service.api.http.auth import caller_of, record_caller, token_of
from service.api.kazoo.accept import negotiate
from service.api.kazoo.basic import basic_of
from service.api.kazoo.profiles import PROFILES, WireProfile, profile_of
from service.api.kazoo.wire import View
from service.domain.account import AccountFacts, Caller
from service.domain.clock import utc_now
from service.domain.errors import (
    AccountNotFound,
    CredentialsInvalid,
    Forbidden,
    Invalid,
    MessageNotFound,
    Rule,
    UserNotFound,
    VmboxNotFound,
)
from service.domain.message import MessageId, parse_hex_id, retained_since

MAX_KEY = 255
OWN_ACCOUNT = "-"

AnyRequest = Request[Any, Any, Any]

# What is derived from a request, by type; built here, so not validated.
TheCaller = NamedDependency[SkipValidation[Caller]]
TheAccount = NamedDependency[SkipValidation[AccountFacts]]
TheProfile = NamedDependency[SkipValidation[WireProfile]]
TheView = NamedDependency[SkipValidation[View]]


async def provide_caller(request: AnyRequest, app: App) -> Caller:
    """Who asks; raises Unauthorized, TooManyRequests. The envelope echoes the token noted here.

    Without an account in the path nothing more is asked before the form of the request is.
    """
    caller = await authenticate_caller(request, app)
    app.rate_limit.take(caller.account.account_id)
    if "account_id" not in request.path_params:
        negotiate(request)
    return caller


async def authenticate_caller(request: AnyRequest, app: UseCases) -> Caller:
    """Whom a request's token stands for; without one, whom `Authorization: Basic` names.

    Raises Unauthorized, TooManySignIns.
    """
    token = token_of(request, tokens_in_query=app.auth_options.tokens_in_query)
    if token is not None:
        caller = await caller_of(request, app.accounts.sessions, token)
    else:
        basic = basic_of(request.headers.get("authorization", ""))
        if basic is None:
            raise CredentialsInvalid
        caller = record_caller(request, await app.credentials.caller_by_hash(*basic))
    request.scope["state"]["auth_token"] = token or UNSET
    return caller


async def provide_account(
    request: AnyRequest, account_id: str, caller: TheCaller, app: App
) -> AccountFacts:
    """The account of the path, when the caller may reach it and takes what the route gives."""
    account = await app.accounts.sessions.authorise(caller, account_of_path(account_id, caller))
    negotiate(request)
    return account


def provide_profile(request: AnyRequest, account: TheAccount) -> WireProfile:
    """How times and lengths are spelled: the account's way, or the one that `?profile=` names."""
    named = request.query_params.get("profile")
    if named is None:
        return profile_of(account)
    if named not in PROFILES:
        raise Invalid.of("profile", Rule.ENUM, target=list(PROFILES), value=named[:64])
    return WireProfile(named)


def provide_view(request: AnyRequest, account: TheAccount, app: App) -> View:
    """How this request's messages are shown."""
    return View(
        provide_profile(request, account), retained_since(utc_now(), app.messages.retention_days)
    )


def location(request: AnyRequest, account: AccountFacts, *more: str) -> dict[str, str]:
    """The `Location` of what a request has made: its own path, or what lies below it, with the
    account's id also where the path says "my own"."""
    path = request.scope["path"].replace(f"/{OWN_ACCOUNT}/", f"/{account.account_id.hex}/", 1)
    return {"Location": "/".join((path, *more))}


def account_of_path(text: str, caller: Caller) -> UUID:
    """The account id in a path; `-` is the caller's own.

    Only the root account learns that a text is no id at all.
    """
    if text == OWN_ACCOUNT:
        return caller.account.account_id
    account_id = parse_hex_id(text)
    if account_id is None:
        raise AccountNotFound(text) if caller.account.is_root else Forbidden()
    return account_id


def user_of_path(text: str) -> UUID:
    """The user id in a path; what is no id names no user."""
    user_id = parse_hex_id(text)
    if user_id is None:
        raise UserNotFound(text[:64])
    return user_id


def vmbox_of_path(text: str) -> UUID:
    """The box id in a path; what is no id names no box."""
    vmbox_id = parse_hex_id(text)
    if vmbox_id is None:
        raise VmboxNotFound(text[:64])
    return vmbox_id


def message_of_path(text: str) -> MessageId:
    """The message id in a path; what is no id names no message."""
    message_id = MessageId.parse(text)
    if message_id is None:
        raise MessageNotFound(text[:64])
    return message_id


def idempotency_key(request: AnyRequest) -> str | None:
    """The `Idempotency-Key` header: up to 255 printable characters."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and 1 <= len(key) <= MAX_KEY):
        raise Invalid.of(
            "idempotency-key",
            Rule.WRONG_FORMAT,
            value=key[:64],
            message=f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters",
        )
    return key
