"""Routes of accounts: `/v2/accounts/{account}`, those below it, and its API key."""

from typing import Any

from litestar import Response, delete, patch, post, put, route

from service.api.dependencies import App
from service.api.kazoo import wire
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount, TheCaller
from service.api.kazoo.envelope import succeed
from service.api.kazoo.filters import read_filter
from service.api.kazoo.pages import answer_page
from service.api.kazoo.profiles import ACCOUNT_FIELDS
from service.api.kazoo.query import (
    ascends,
    created_and_modified,
    decode_key,
    page_query,
)
from service.domain.account import Account
from service.domain.page import NameCursor

ONE = "/accounts/{account_id:str}"


@route(ONE, http_method=["GET", "HEAD"])
async def get_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """One account."""
    return _one(request, await app.accounts.get(caller, account.account_id))


@put(ONE, status_code=201)
async def create_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """A new account below the one in the path."""
    child = await app.accounts.create_child(
        caller, account.account_id, await read_data(request), ACCOUNT_FIELDS
    )
    location = f"/v2/accounts/{child.account_id.hex}"
    return _one(request, child, status=201, headers={"Location": location})


@post(ONE, status_code=200)
async def replace_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """All settings of an account: what is left out goes."""
    document = await read_data(request)
    changed = await app.accounts.replace(caller, account.account_id, document, ACCOUNT_FIELDS)
    return _one(request, changed)


@patch(ONE)
async def patch_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Some settings of an account; null deletes."""
    changes = await read_data(request)
    changed = await app.accounts.patch(caller, account.account_id, changes, ACCOUNT_FIELDS)
    return _one(request, changed)


@delete(ONE, status_code=200)
async def delete_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Deletes an account and all that is in it; one with accounts below it stays."""
    return _one(request, await app.accounts.delete(caller, account.account_id), deleted=True)


@route(ONE + "/children", http_method=["GET", "HEAD"])
async def list_children(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """The accounts right below one, by name."""
    return await _list(request, account, caller, app, deep=False)


@route(ONE + "/descendants", http_method=["GET", "HEAD"])
async def list_descendants(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """All accounts below one, by name."""
    return await _list(request, account, caller, app, deep=True)


@route(ONE + "/api_key", http_method=["GET", "HEAD"])
async def get_api_key(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """The API key of an account."""
    return succeed(request, {"api_key": await app.accounts.get_api_key(caller, account.account_id)})


@put(ONE + "/api_key", status_code=201)
async def renew_api_key(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """A new API key; the old one and the account's tokens end."""
    key = await app.accounts.renew_api_key(caller, account.account_id)
    return succeed(request, {"api_key": key}, status=201)


ROUTES = (
    get_account,
    create_account,
    replace_account,
    patch_account,
    delete_account,
    list_children,
    list_descendants,
    get_api_key,
    renew_api_key,
)


async def _list(
    request: AnyRequest,
    account: TheAccount,
    caller: TheCaller,
    app: App,
    *,
    deep: bool,
) -> Response[bytes]:
    query = page_query(request)
    start = decode_key(query.start_key, NameCursor)
    wanted = read_filter(request.query_params.multi_items())
    times = created_and_modified(request)

    def keep(found: Account) -> bool:
        return times.holds(found.created_at, found.modified_at) and wanted.matches(
            wire.account_document(found)
        )

    page = await app.accounts.list_descendants(
        caller,
        account.account_id,
        start,
        query.limit,
        deep=deep,
        descending=not ascends(request, default=True),
        predicate=keep if wanted or times else None,
    )
    rows = [wire.account_row(found) for found in page.items]
    return answer_page(request, query, rows, start=start, following=page.next, metadata={})


def _one(
    request: AnyRequest, account: Account, *, deleted: bool = False, **more: Any
) -> Response[bytes]:
    document = wire.account_document(account)
    times = (account.created_at, account.modified_at)
    return succeed(
        request,
        {**document, "_read_only": {"deleted": True}} if deleted else document,
        revision=str(account.revision),
        metadata=wire.metadata_of(account.account_id, *times, deleted=deleted),
        **more,
    )
