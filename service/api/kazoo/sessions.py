"""Routes of sign-in and tokens: `/v2/api_auth`, `/v2/user_auth`, `/v2/token_auth`.

KAZOO API docs, "API Auth", "User Auth", "Token Auth". The token stands beside `data`.
"""

from typing import Any

from litestar import Response, delete, put, route

from service.api.dependencies import App
from service.api.kazoo.accept import negotiate
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheCaller
from service.api.kazoo.envelope import succeed
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
_ACCOUNT_FIELDS = ("account_name", "account_realm", "realm", "phone_number")


@put("/api_auth", status_code=201)
async def sign_in_with_api_key(request: AnyRequest, app: App) -> Response[bytes]:
    """A token for an API key."""
    negotiate(request)
    data, problems = apply_schema(await read_data(request), API_KEY_FIELDS)
    problems += [
        Problem(field=name, rule=Rule.ENUM, target=["api_key"], value=name)
        for name in data
        if name != "api_key"
    ]
    if problems:
        raise Invalid(problems)
    token, account = await app.accounts.sessions.sign_in_with_api_key(data["api_key"])
    return _signed_in(request, token, Caller(account), status=201)


@put("/user_auth", status_code=201)
async def sign_in_as_user(request: AnyRequest, app: App) -> Response[bytes]:
    """A token for a hash of a user's name and password."""
    negotiate(request)
    given = _credentials(await read_data(request))
    token, caller = await app.accounts.sessions.sign_in_as_user(given)
    return _signed_in(request, token, caller, status=201)


@route("/user_auth/{token:str}", http_method=["GET", "HEAD"])
async def get_user_auth(request: AnyRequest, token: str, caller: TheCaller) -> Response[bytes]:
    """What a token stands for: one's own, and no other, whether there is such a token or not."""
    negotiate(request)
    if token != request.scope["state"]["auth_token"]:
        raise Forbidden
    return _signed_in(request, token, caller)


@route("/token_auth", http_method=["GET", "HEAD"])
async def get_token_auth(request: AnyRequest, caller: TheCaller) -> Response[bytes]:
    """What the token of this request stands for."""
    negotiate(request)
    return succeed(request, _details(caller))


@delete("/token_auth", status_code=200)
async def end_token(request: AnyRequest, caller: TheCaller, app: App) -> Response[bytes]:
    """Ends the token of this request: at once here, within seconds everywhere."""
    negotiate(request)
    assert caller.claims is not None, "who calls over HTTP has a token"
    await app.accounts.sessions.revoke(caller.claims)
    return succeed(request, {})


ROUTES = (sign_in_with_api_key, sign_in_as_user, get_user_auth, get_token_auth, end_token)


def _credentials(document: Document) -> Credentials:
    data, problems = apply_schema(document, CREDENTIAL_FIELDS)
    if not any(name in data for name in _ACCOUNT_FIELDS):
        problems.append(Problem(field="account_name", rule=Rule.REQUIRED))
    if problems:
        raise Invalid([hide_value(problem) for problem in problems])
    return Credentials(
        method=CredentialMethod(data["method"]),
        digest=data["credentials"].lower(),
        # No phone numbers are kept: one that is given names no account.
        realm=data.get("account_realm", data.get("realm")),
        account_name=data.get("account_name"),
    )


def _signed_in(
    request: AnyRequest, token: str, caller: Caller, status: int = 200
) -> Response[bytes]:
    request.scope["state"]["auth_token"] = token
    return succeed(request, _details(caller), status=status)


def _details(caller: Caller) -> dict[str, Any]:
    account = caller.account
    root = account.ancestors[0] if account.ancestors else account.account_id
    details: dict[str, Any] = {
        "account_id": account.account_id.hex,
        "account_name": account.name,
        "language": "en-US",
        "is_reseller": False,
        "reseller_id": root.hex,
        "is_master_account": account.is_root,
        "cluster_id": root.hex,
        "apps": [],
        "capabilities": {},
        "ui_config": {},
    }
    if caller.claims is not None and caller.claims.owner_id is not None:
        details["owner_id"] = caller.claims.owner_id.hex
    return details
