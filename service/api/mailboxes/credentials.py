"""Who calls: a token, or the credentials of a reseller's user with every request.

`X-Auth-Reseller` (name or realm of the account), `X-Auth-User`, `X-Auth-Password`; `X-Auth-For`
names an account below that one, in whose place the request stands.
"""

from service.api.dependencies import App
from service.api.http.auth import caller_of, token_of
from service.api.mailboxes.dependencies import AnyRequest
from service.api.middleware.access_log import request_record_of
from service.domain.account import AccountFacts, Caller
from service.domain.errors import CredentialsInvalid


async def provide_account(request: AnyRequest, app: App) -> AccountFacts:
    """The account that a request is about; it counts as one of the caller's.

    Raises Unauthorized, Forbidden, TooManySignIns, TooManyRequests.
    """
    token = token_of(request, tokens_in_query=app.auth_options.tokens_in_query)
    if token is None:
        caller = await _with_credentials(request, app)
    else:
        caller = await caller_of(request, app.accounts.sessions, token)
    app.rate_limit.take(caller.account.account_id)
    name = _text(request, "x-auth-for")
    return caller.account if not name else await app.credentials.descendant(caller, name)


async def _with_credentials(request: AnyRequest, app: App) -> Caller:
    reseller = _text(request, "x-auth-reseller")
    user, password = _text(request, "x-auth-user"), _text(request, "x-auth-password")
    if not (reseller and user and password):
        raise CredentialsInvalid
    caller = await app.credentials.caller(reseller, user, password)
    request_record_of(request.scope).account_id = caller.account.account_id
    return caller


def _text(request: AnyRequest, header: str) -> str:
    """A header's value; names and passwords beyond ASCII come as UTF-8."""
    value = request.headers.get(header, "")
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
