"""Routes of accounts and sign-in: `/v2/accounts/{account}`, `.../api_key`, `/v2/api_auth`."""

from litestar import Response, put, route

from service.api.kazoo import wire
from service.api.kazoo.body import read_data
from service.api.kazoo.context import AnyRequest, TheAccounts, TheCaller, account_of_path
from service.api.kazoo.envelope import succeed
from service.domain.errors import Invalid, Problem, Rule
from service.domain.schema import Field, apply_schema

ONE = "/accounts/{account_id:str}"
_API_KEY_FIELDS = {"api_key": Field(required=True, min_length=64, max_length=64)}


@route(ONE, http_method=["GET", "HEAD"])
async def get_account(
    request: AnyRequest, account_id: str, caller: TheCaller, accounts: TheAccounts
) -> Response[bytes]:
    """One account."""
    account = await accounts.get(caller, account_of_path(account_id, caller))
    return succeed(request, wire.account_document(account), revision=str(account.revision))


@put(ONE, status_code=201)
async def create_account(
    request: AnyRequest, account_id: str, caller: TheCaller, accounts: TheAccounts
) -> Response[bytes]:
    """A new account below the one in the path."""
    parent = account_of_path(account_id, caller)
    account = await accounts.create_child(caller, parent, await read_data(request))
    return succeed(
        request,
        wire.account_document(account),
        status=201,
        revision=str(account.revision),
        headers={"Location": f"/v2/accounts/{account.account_id.hex}"},
    )


@route(ONE + "/api_key", http_method=["GET", "HEAD"])
async def get_api_key(
    request: AnyRequest, account_id: str, caller: TheCaller, accounts: TheAccounts
) -> Response[bytes]:
    """The API key of an account."""
    key = await accounts.api_key(caller, account_of_path(account_id, caller))
    return succeed(request, {"api_key": key})


@put(ONE + "/api_key", status_code=201)
async def renew_api_key(
    request: AnyRequest, account_id: str, caller: TheCaller, accounts: TheAccounts
) -> Response[bytes]:
    """A new API key; the old one and the account's tokens end."""
    key = await accounts.renew_api_key(caller, account_of_path(account_id, caller))
    return succeed(request, {"api_key": key}, status=201)


@put("/api_auth", status_code=201)
async def sign_in(request: AnyRequest, accounts: TheAccounts) -> Response[bytes]:
    """A token for an API key."""
    data, problems = apply_schema(await read_data(request), _API_KEY_FIELDS)
    problems += [
        Problem(field=name, rule=Rule.ENUM, target=["api_key"], value=name)
        for name in data
        if name != "api_key"
    ]
    if problems:
        raise Invalid(problems)
    token, account = await accounts.sign_in_with_api_key(data["api_key"])
    request.scope["state"]["auth_token"] = token
    details = {
        "account_id": account.account_id.hex,
        "account_name": account.name,
        "language": "en-US",
        "is_reseller": False,
        "is_master_account": account.is_root,
        "apps": [],
        "capabilities": {},
        "ui_config": {},
    }
    return succeed(request, details, status=201)


ROUTES = (get_account, create_account, get_api_key, renew_api_key, sign_in)
