"""Authentication with a token, or with user name and password in each request.

`X-Auth-Reseller` is the name or realm of the user's account, `X-Auth-For` the name of a descendant
account that the request acts for.
"""

from service.api.dependencies import App
from service.api.http.access import check_route, check_writable
from service.api.http.auth import caller_of, record_caller, token_of
from service.api.http.peer import peer_of
from service.api.mailboxes.dependencies import AnyRequest, TheCaller
from service.api.mailboxes.wire import parse_uuid
from service.domain.account import AccountFacts, Caller, Quota
from service.domain.errors import CredentialsInvalid


async def provide_caller(request: AnyRequest, app: App) -> Caller:
    """Authenticates the caller. The request counts against the caller's rate limit.

    Raises Unauthorized, SignInLocked, TooManySignIns, TooManyRequests.
    """
    token = token_of(request, tokens_in_query=app.auth_options.tokens_in_query)
    if token is None:
        caller = await _check_password(request, app)
    else:
        caller = await caller_of(request, app.accounts.sessions, token)
    app.rate_limit.take(caller.account.account_id, caller.account.limits.get(Quota.REQUESTS_PER_S))
    return caller


async def provide_account(request: AnyRequest, caller: TheCaller, app: App) -> AccountFacts:
    """Returns the account of a request after the access check. Raises Forbidden."""
    check_route(request, caller.access, parse_uuid, vmbox_key="uuid")
    name = _header(request, "x-auth-for")
    account = caller.account if not name else await app.credentials.find_descendant(caller, name)
    account = await app.accounts.sessions.authorise(caller, account.account_id)
    check_writable(request, account)
    return account


async def _check_password(request: AnyRequest, app: App) -> Caller:
    reseller = _header(request, "x-auth-reseller")
    user, password = _header(request, "x-auth-user"), _header(request, "x-auth-password")
    if not (reseller and user and password):
        raise CredentialsInvalid
    peer = peer_of(request, app.auth_options.trusted_proxies)
    caller = await app.credentials.authenticate(reseller, user, password, peer=peer)
    return record_caller(request, caller)


def _header(request: AnyRequest, name: str) -> str:
    """Returns the value of a header, decoded as UTF-8 if it is valid UTF-8."""
    value = request.headers.get(name, "")
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
