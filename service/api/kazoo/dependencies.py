"""Dependencies of route handlers: caller, account and profile of a request, ids in its path."""

from functools import partial
from typing import Any
from uuid import UUID

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import UNSET

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION, check_route, check_writable
from service.api.http.auth import caller_of, record_caller, token_of
from service.api.http.path_ids import id_of_path
from service.api.http.peer import peer_of
from service.api.kazoo.accept import negotiate
from service.api.kazoo.basic import basic_of
from service.api.kazoo.profiles import PROFILES, WireProfile, profile_of
from service.api.kazoo.wire.messages import MessageContext
from service.domain.access import Permission
from service.domain.account import AccountFacts, Caller, Quota
from service.domain.clock import utc_now
from service.domain.errors import (
    AccountNotFound,
    ApiKeyNotFound,
    CredentialsInvalid,
    ErasureNotFound,
    ExportNotFound,
    Forbidden,
    GreetingNotFound,
    HoldNotFound,
    Invalid,
    MessageNotFound,
    Rule,
    UserNotFound,
    VmboxNotFound,
    WebhookNotFound,
)
from service.domain.message import MessageId, parse_hex_id

MAX_KEY = 255
OWN_ACCOUNT = "-"

AnyRequest = Request[Any, Any, Any]

# Types of the dependencies below. Litestar does not validate their values.
TheCaller = NamedDependency[SkipValidation[Caller]]
TheAccount = NamedDependency[SkipValidation[AccountFacts]]


async def authenticate_request(request: AnyRequest, app: UseCases) -> Caller:
    """Authenticates the caller and counts the request. Raises Unauthorized, TooManyRequests."""
    caller = await authenticate_caller(request, app)
    take_request(app, caller)
    return caller


def take_request(app: UseCases, caller: Caller) -> None:
    """Counts a request in the rate limit of the caller's account. Raises TooManyRequests."""
    account = caller.account
    app.rate_limit.take(account.account_id, account.limits.get(Quota.REQUESTS_PER_S))


async def authenticate_caller(request: AnyRequest, app: UseCases) -> Caller:
    """Returns the caller of the token, or of `Authorization: Basic` if there is no token.

    The envelope echoes the token. Raises Unauthorized, SignInLocked, TooManySignIns.
    """
    token = token_of(request, tokens_in_query=app.auth_options.tokens_in_query)
    if token is not None:
        caller = await caller_of(request, app.accounts.sessions, token)
    else:
        basic = basic_of(request.headers.get("authorization", ""))
        if basic is None:
            raise CredentialsInvalid
        peer = peer_of(request, app.auth_options.trusted_proxies)
        verified = await app.credentials.authenticate_by_hash(*basic, peer=peer)
        caller = record_caller(request, verified)
    request.scope["state"]["auth_token"] = token or UNSET
    return caller


async def provide_account(request: AnyRequest, app: App) -> AccountFacts:
    """Authenticates the caller and authorises it for the account and the other ids in the path.

    Negotiates the content types. One dependency does all this, because each dependency costs time.
    Raises Unauthorized, TooManyRequests, Forbidden.
    """
    caller = request.scope["state"]["caller"] = await authenticate_request(request, app)
    account_id = account_of_path(request.path_params["account_id"], caller)
    account = await app.accounts.sessions.authorise(caller, account_id)
    check_writable(request, account)
    check_route(request, caller.access, parse_hex_id, vmbox_key="vmbox_id", user_key="user_id")
    if (media_id := request.path_params.get("media_id")) is not None:
        for_change = request.route_handler.opt[PERMISSION] is Permission.VMBOXES_WRITE
        await app.greetings.check_access(
            account, caller.access, [greeting_of_path(media_id)], for_change=for_change
        )
    negotiate(request)
    return account


def provide_caller(request: AnyRequest, account: TheAccount) -> Caller:  # noqa: ARG001 - sets it
    """Returns the caller, whom `provide_account` has authenticated."""
    caller: Caller = request.scope["state"]["caller"]
    return caller


def wire_profile(request: AnyRequest, account: AccountFacts) -> WireProfile:
    """Returns the profile in `?profile=`, or that of the account. Raises Invalid."""
    name = request.query_params.get("profile")
    if name is None:
        return profile_of(account)
    if name not in PROFILES:
        raise Invalid.of("profile", Rule.ENUM, target=list(PROFILES), value=name[:64])
    return WireProfile(name)


def read_flag(request: AnyRequest, name: str) -> bool:
    """Reads a flag in the query; the default is False. Raises Invalid."""
    match request.query_params.get(name):
        case None | "false":
            return False
        case "true":
            return True
        case value:
            raise Invalid.of(name, Rule.ENUM, target=["true", "false"], value=value[:64])


async def message_context(
    request: AnyRequest, account: AccountFacts, app: UseCases, vmbox_id: str
) -> MessageContext:
    """Returns the profile and the retention of a box, which determine the format of messages."""
    profile = wire_profile(request, account)
    retention = await app.retention.of_vmbox(account, vmbox_of_path(vmbox_id))
    return MessageContext(profile, retention.retained_since(utc_now()))


async def account_context(
    request: AnyRequest, account: AccountFacts, app: UseCases
) -> MessageContext:
    """Returns the profile and the retention of all boxes of an account."""
    profile, now = wire_profile(request, account), utc_now()
    retention = await app.retention.of_account(account)
    return MessageContext(
        profile,
        retention.default.retained_since(now),
        {vmbox_id: each.retained_since(now) for vmbox_id, each in retention.vmboxes.items()},
    )


def location(request: AnyRequest, account: AccountFacts, *segments: str) -> dict[str, str]:
    """Returns the `Location` header of a created resource: the path of the request and `segments`.

    An account alias in the path is replaced by the id of the account.
    """
    path = request.scope["path"].replace(f"/{OWN_ACCOUNT}/", f"/{account.account_id.hex}/", 1)
    return {"Location": "/".join((path, *segments))}


def account_of_path(text: str, caller: Caller) -> UUID:
    """Reads the account id in a path; `-` is the caller's own account.

    For a malformed id the root account gets AccountNotFound, and other callers get Forbidden.
    """
    if text == OWN_ACCOUNT:
        return caller.account.account_id
    account_id = parse_hex_id(text)
    if account_id is None:
        is_root = caller.account.is_root and caller.access.is_admin
        raise AccountNotFound(text) if is_root else Forbidden()
    return account_id


user_of_path = partial(id_of_path, parse_hex_id, UserNotFound)
vmbox_of_path = partial(id_of_path, parse_hex_id, VmboxNotFound)
message_of_path = partial(id_of_path, MessageId.parse, MessageNotFound)
greeting_of_path = partial(id_of_path, parse_hex_id, GreetingNotFound)
api_key_of_path = partial(id_of_path, parse_hex_id, ApiKeyNotFound)
erasure_of_path = partial(id_of_path, parse_hex_id, ErasureNotFound)
hold_of_path = partial(id_of_path, parse_hex_id, HoldNotFound)
export_of_path = partial(id_of_path, parse_hex_id, ExportNotFound)
webhook_of_path = partial(id_of_path, parse_hex_id, WebhookNotFound)


def idempotency_key(request: AnyRequest) -> str | None:
    """Reads `Idempotency-Key`: 1 to 255 printable ASCII characters. Raises Invalid."""
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
