"""Routes of sign-in and tokens: `/v2/api_auth`, `/v2/user_auth`, `/v2/token_auth`.

KAZOO API docs, "API Auth", "User Auth", "Token Auth". The token is `auth_token` of the envelope.
"""

from litestar import Response, delete, put, route

from service.api.dependencies import App
from service.api.http.peer import peer_of
from service.api.kazoo.accept import negotiate
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheCaller
from service.api.kazoo.envelope import succeed
from service.api.kazoo.wire.documents import session_response
from service.domain.account import MAX_NAME, MAX_REALM, Caller
from service.domain.errors import Forbidden, Invalid, Problem, Rule
from service.domain.schema import Document, Field, apply_schema
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
ACCOUNT_NAMES = ("account_name", "account_realm", "realm", "phone_number")


@put("/api_auth", status_code=201)
async def sign_in_with_api_key(request: AnyRequest, app: App) -> Response[bytes]:
    """Creates a token for an API key. The token is in `auth_token` and in no other field."""
    negotiate(request)
    data, broken = apply_schema(await read_data(request), API_KEY_FIELDS)
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
async def get_user_auth(request: AnyRequest, token: str, caller: TheCaller) -> Response[bytes]:
    """Returns the account and the user of the token in the path. Only the token of the request
    itself is allowed; any other text is a 403."""
    negotiate(request)
    if token != request.scope["state"]["auth_token"]:
        raise Forbidden
    return _signed_in(request, token, caller)


@route("/token_auth", http_method=["GET", "HEAD"])
async def get_token_auth(request: AnyRequest, caller: TheCaller) -> Response[bytes]:
    """Returns the account and the user of the token of this request. It works for tokens of API
    keys and of users."""
    negotiate(request)
    return succeed(request, session_response(caller))


@delete("/token_auth", status_code=200)
async def end_token(request: AnyRequest, caller: TheCaller, app: App) -> Response[bytes]:
    """Revokes the token of this request. Other processes refuse the token within 5 seconds."""
    negotiate(request)
    assert caller.claims is not None, "a caller over HTTP has a token"
    await app.accounts.sessions.revoke(caller.claims)
    return succeed(request, {})


ROUTES = (sign_in_with_api_key, sign_in_as_user, get_user_auth, get_token_auth, end_token)


def _credentials(document: Document) -> Credentials:
    data, problems = apply_schema(document, CREDENTIAL_FIELDS)
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


def _signed_in(
    request: AnyRequest, token: str, caller: Caller, status: int = 200
) -> Response[bytes]:
    request.scope["state"]["auth_token"] = token
    return succeed(request, session_response(caller), status=status)
