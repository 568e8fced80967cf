"""Routes of sign-in and tokens: `/v2/api_auth`, `/v2/user_auth`, `/v2/token_auth`, `/v2/auth`.

KAZOO API docs, "API Auth", "User Auth", "Token Auth". The token is `auth_token` of the envelope.
"""

from contextlib import suppress

from litestar import Response, delete, post, put, route

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.http.auth import record_caller
from service.api.http.peer import peer_of
from service.api.kazoo.accept import negotiate
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    authenticate_request,
    take_request,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.wire.documents import session_response
from service.domain.access import Permission
from service.domain.account import MAX_NAME, MAX_REALM, Caller
from service.domain.errors import Forbidden, Invalid, Problem, Rule, Unauthorized
from service.domain.schema import Document, Field, apply_schema, submitted_keys
from service.domain.user import CredentialMethod, Credentials, hide_value

API_KEY_FIELDS = {"api_key": Field(required=True, min_length=64, max_length=64)}
_REALM = Field(min_length=4, max_length=MAX_REALM)
CREDENTIAL_FIELDS = {
    "credentials": Field(required=True, min_length=1, max_length=64),
    "method": Field(enum=tuple(method.value for method in CredentialMethod), default="md5"),
    "account_name": Field(min_length=1, max_length=MAX_NAME),
    "account_realm": _REALM,
    "realm": _REALM,
    "phone_number": Field(min_length=1, max_length=64),
}
# Tokens of an external issuer can be long.
TOKEN_FIELDS = {"token": Field(required=True, min_length=1, max_length=16_384)}
ACCOUNT_NAMES = ("account_name", "account_realm", "realm", "phone_number")


@put("/api_auth", status_code=201)
async def sign_in_with_api_key(request: AnyRequest, app: App) -> Response[bytes]:
    """Creates a token for an API key. The token is in `auth_token` and in no other field."""
    negotiate(request)
    data, broken = apply_schema(submitted_keys(await read_data(request)), API_KEY_FIELDS)
    # The rejected text may be a key of another system, or one with a typing error.
    problems = [hide_value(problem) for problem in broken]
    problems += [
        Problem(field=name, rule=Rule.ENUM, target=["api_key"], value=name)
        for name in data
        if name != "api_key"
    ]
    if problems:
        raise Invalid(problems)
    token, caller = await app.accounts.sessions.sign_in_with_api_key(data["api_key"])
    return _signed_in(request, token, caller, status=201)


@put("/user_auth", status_code=201)
async def sign_in_as_user(request: AnyRequest, app: App) -> Response[bytes]:
    """Creates a token for the credentials of a user. `credentials` is the hash of
    `username:password`; identify the account by its name or its realm."""
    negotiate(request)
    credentials = _credentials(await read_data(request))
    peer = peer_of(request, app.auth_options.trusted_proxies)
    token, caller = await app.accounts.sessions.sign_in_as_user(credentials, peer=peer)
    return _signed_in(request, token, caller, status=201)


@route("/user_auth/{token:str}", http_method=["GET", "HEAD"])
async def get_user_auth(request: AnyRequest, token: str, app: App) -> Response[bytes]:
    """Returns the account and the user of the token in the path. Only the token of the request
    itself is allowed; any other text is a 403."""
    caller = await authenticate_request(request, app)
    negotiate(request)
    return _own_session(request, token, caller)


@route(
    "/accounts/{account_id:str}/user_auth/{token:str}",
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.ACCOUNT_READ},
)
async def get_account_user_auth(
    request: AnyRequest,
    account: TheAccount,  # noqa: ARG001 - this dependency authorises the caller
    token: str,
    caller: TheCaller,
) -> Response[bytes]:
    """Returns the account and the user of the token in the path. Only the token of the request
    itself is allowed; any other text is a 403. The account in the path is that of the token, or
    one below it."""
    return _own_session(request, token, caller)


@route("/auth/tokeninfo", http_method=["GET", "HEAD"])
async def get_token_info(request: AnyRequest, app: App) -> Response[bytes]:
    """Returns the account and the user of a token. The token is `?token=`, unless tokens in the
    query are disabled, or else the token of the request. The rules are those of POST."""
    negotiate(request)
    in_query = request.query_params.get("token") if app.auth_options.tokens_in_query else None
    if in_query:
        return await _token_info(request, app, in_query)
    caller = await authenticate_request(request, app)
    return succeed(request, session_response(caller))


@post("/auth/tokeninfo", status_code=200)
async def read_token_info(request: AnyRequest, app: App) -> Response[bytes]:
    """Returns the account and the user of the token in `token`. The request needs no other
    credentials. A request with valid credentials gets a 403 for another token than its own. Wrong
    tokens are counted and locked like wrong credentials."""
    negotiate(request)
    data, problems = apply_schema(await read_data(request), TOKEN_FIELDS)
    if problems:
        raise Invalid([hide_value(problem) for problem in problems])
    return await _token_info(request, app, data["token"])


@route("/token_auth", http_method=["GET", "HEAD"])
async def get_token_auth(request: AnyRequest, app: App) -> Response[bytes]:
    """Returns the account and the user of the token of this request. It works for tokens of API
    keys and of users."""
    caller = await authenticate_request(request, app)
    negotiate(request)
    return succeed(request, session_response(caller))


@delete("/token_auth", status_code=200)
async def end_token(request: AnyRequest, app: App) -> Response[bytes]:
    """Revokes the token of this request. Other processes refuse the token within 5 seconds."""
    caller = await authenticate_request(request, app)
    negotiate(request)
    assert caller.claims is not None, "a caller over HTTP has a token"
    await app.accounts.sessions.revoke(caller.claims)
    return succeed(request, {})


ROUTES = (
    sign_in_with_api_key,
    sign_in_as_user,
    get_user_auth,
    get_account_user_auth,
    get_token_info,
    read_token_info,
    get_token_auth,
    end_token,
)


def _credentials(document: Document) -> Credentials:
    data, problems = apply_schema(submitted_keys(document), CREDENTIAL_FIELDS)
    if not any(name in data for name in ACCOUNT_NAMES):
        problems.append(Problem(field="account_name", rule=Rule.REQUIRED))
    if problems:
        raise Invalid([hide_value(problem) for problem in problems])
    return Credentials(
        method=CredentialMethod(data["method"]),
        digest=data["credentials"].lower(),
        # Phone numbers are not stored, so a phone number matches no account.
        realm=data.get("account_realm", data.get("realm")),
        account_name=data.get("account_name"),
    )


def _own_session(request: AnyRequest, token: str, caller: Caller) -> Response[bytes]:
    """Returns the session of the token of the request. Raises Forbidden for another token."""
    if token != request.scope["state"]["auth_token"]:
        raise Forbidden
    return _signed_in(request, token, caller)


async def _token_info(request: AnyRequest, app: UseCases, token: str) -> Response[bytes]:
    """Returns the session of a token.

    Raises Forbidden if the request has valid credentials and `token` is not its own token.
    """
    with suppress(Unauthorized):
        caller = await authenticate_request(request, app)
        return _own_session(request, token, caller)
    peer = peer_of(request, app.auth_options.trusted_proxies)
    caller = record_caller(request, await app.accounts.sessions.check_token(token, peer=peer))
    take_request(app, caller)
    return _signed_in(request, token, caller)


def _signed_in(
    request: AnyRequest, token: str, caller: Caller, status: int = 200
) -> Response[bytes]:
    request.scope["state"]["auth_token"] = token
    return succeed(request, session_response(caller), status=status)
