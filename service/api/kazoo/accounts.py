"""Routes of accounts: `/v2/accounts/{account}`, those below it, and its API key."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from litestar import Response, delete, patch, post, put, route

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount, TheCaller, read_flag
from service.api.kazoo.documents import answer_document, list_documents
from service.api.kazoo.dry_run import dry_run_field, is_dry_run
from service.api.kazoo.envelope import succeed
from service.api.kazoo.profiles import ACCOUNT_FIELDS
from service.api.kazoo.wire.documents import (
    AccountRow,
    ApiKeyResponse,
    account_document,
    account_row,
)
from service.domain.access import Permission
from service.domain.account import Account, Caller
from service.domain.clock import utc_now
from service.domain.message import uuid7
from service.domain.schema import Document, merge

ACCOUNT = "/accounts/{account_id:str}"


@route(ACCOUNT, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_READ})
async def get_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Returns an account. The document contains all settings, also those of unknown keys. A caller
    without `account:admin` gets the name only."""
    stored = await app.accounts.get(caller, account.account_id)
    return _answer(request, stored, document=account_document(stored, caller.access))


@put(ACCOUNT, status_code=201, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def create_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Creates an account below the account in the path. Its name and its realm must be unique
    in the deployment. `Location` is the path of the new account."""
    child = await app.accounts.create_child(
        caller, account.account_id, await read_data(request), ACCOUNT_FIELDS
    )
    location = f"/v2/accounts/{child.account_id.hex}"
    return _answer(request, child, status=201, headers={"Location": location})


@post(ACCOUNT, status_code=200, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def replace_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Replaces all settings of an account. Settings that are absent from the request are
    removed."""
    document = await read_data(request)
    return await _change(request, app, caller, account.account_id, lambda _: document)


@patch(ACCOUNT, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def patch_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Changes some settings of an account. A null deletes a setting; absent settings stay."""
    changes = await read_data(request)
    change = partial(merge, changes=changes)
    return await _change(request, app, caller, account.account_id, change)


@delete(ACCOUNT, status_code=200, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def delete_account(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Deletes an account with its boxes, messages and users. Fails with 409 while there are
    accounts below it, or legal holds. The root account cannot be deleted. With `erase=true` all
    data of the account are erased at once. The header `Location` is then the path of the erasure,
    in the parent account. Otherwise they are erased after the days of the trash."""
    erasure_id = uuid7(utc_now()) if read_flag(request, "erase") else None
    deleted = await app.accounts.delete(caller, account.account_id, erasure_id)
    headers = {}
    if erasure_id is not None and deleted.parent_id is not None:
        headers["Location"] = f"/v2/accounts/{deleted.parent_id.hex}/erasures/{erasure_id.hex}"
    return _answer(request, deleted, is_deleted=True, headers=headers)


@route(
    ACCOUNT + "/children", http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN}
)
async def list_children(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Lists the accounts directly below an account. The list is sorted by name."""
    return await _list(request, account, caller, app, deep=False)


@route(
    ACCOUNT + "/descendants",
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.ACCOUNT_ADMIN},
)
async def list_descendants(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Lists all accounts below an account, at any depth. The list is sorted by name."""
    return await _list(request, account, caller, app, deep=True)


@route(
    ACCOUNT + "/api_key", http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN}
)
async def get_api_key(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Returns the API key of an account. `PUT /v2/api_auth` exchanges it for a token."""
    key = await app.accounts.get_api_key(caller, account.account_id)
    return succeed(request, ApiKeyResponse(api_key=key))


@put(ACCOUNT + "/api_key", status_code=201, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def renew_api_key(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Creates a new API key for an account. The old key and all tokens of the account become
    invalid."""
    key = await app.accounts.renew_api_key(caller, account.account_id)
    return succeed(request, ApiKeyResponse(api_key=key), status=201)


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


async def _change(
    request: AnyRequest,
    app: UseCases,
    caller: Caller,
    account_id: UUID,
    change: Callable[[Document], Document],
) -> Response[bytes]:
    """Changes an account, or in a dry run returns the account as it would be."""
    if not is_dry_run(request):
        return _answer(
            request, await app.accounts.change(caller, account_id, change, ACCOUNT_FIELDS)
        )
    account = await app.accounts.preview(caller, account_id, change, ACCOUNT_FIELDS)
    preview = await app.retention_previews.of_account(account)
    document = account_document(account) | dry_run_field(preview)
    return _answer(request, account, document=document)


async def _list(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App, *, deep: bool
) -> Response[bytes]:
    read = partial(app.accounts.list_descendants, caller, account.account_id, deep=deep)
    return await list_documents(request, read, account_row, account_document, AccountRow)


def _answer(
    request: AnyRequest, account: Account, document: Document | None = None, **envelope: Any
) -> Response[bytes]:
    return answer_document(
        request,
        document or account_document(account),
        account,
        account.account_id,
        revision=str(account.revision),
        **envelope,
    )
