"""Routes of users: `/v2/accounts/{account}/users`. No response contains credentials."""

from functools import partial
from typing import Any

from litestar import Response, delete, patch, post, put, route

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.http.peer import peer_of
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount, TheCaller, location, user_of_path
from service.api.kazoo.documents import answer_document, list_documents
from service.api.kazoo.wire.documents import UserRow, user_document, user_row
from service.domain.access import Permission
from service.domain.user import User

USERS = "/accounts/{account_id:str}/users"
USER = USERS + "/{user_id:str}"


@route(USERS, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.USER_SELF})
async def list_users(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Lists the users of an account. The list is sorted by name. A user without administrator
    rights gets only itself."""
    only = None if caller.access.is_admin else caller.access.user_id
    read = partial(app.users.list, account, user_id=only)
    return await list_documents(request, read, user_row, user_document, UserRow)


@put(USERS, status_code=201, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def create_user(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Creates a user. A user without a password cannot sign in but can own boxes."""
    user = await app.users.create(account, await read_data(request))
    headers = location(request, account, user.user_id.hex)
    return _answer(request, user, status=201, headers=headers)


@route(USER, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.USER_SELF})
async def get_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """Returns a user. The password is never part of a response."""
    return _answer(request, await app.users.get(account, user_of_path(user_id)))


@post(USER, status_code=200, opt={PERMISSION: Permission.USER_SELF})
async def replace_user(
    request: AnyRequest, account: TheAccount, caller: TheCaller, user_id: str, app: App
) -> Response[bytes]:
    """Replaces all settings of a user. Absent settings are removed; an absent password stays.
    A new username needs the password in the same request. A user without administrator rights can
    change `email`, `first_name`, `last_name`, `timezone`, and, with `old_password`, `password`."""
    identity, document = user_of_path(user_id), await read_data(request)
    if not caller.access.is_admin:
        peer = peer_of(request, app.auth_options.trusted_proxies)
        user = await app.users.change_own(account, identity, document, is_patch=False, peer=peer)
    else:
        user = await app.users.replace(account, identity, document)
    return _answer(request, user)


@patch(USER, opt={PERMISSION: Permission.USER_SELF})
async def patch_user(
    request: AnyRequest, account: TheAccount, caller: TheCaller, user_id: str, app: App
) -> Response[bytes]:
    """Changes some settings of a user. A null deletes a setting. A new username needs the
    password in the same request. A user without administrator rights can change the settings that
    POST names."""
    identity, changes = user_of_path(user_id), await read_data(request)
    if not caller.access.is_admin:
        peer = peer_of(request, app.auth_options.trusted_proxies)
        user = await app.users.change_own(account, identity, changes, is_patch=True, peer=peer)
    else:
        user = await app.users.patch(account, identity, changes)
    return _answer(request, user)


@delete(USER, status_code=200, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def delete_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """Deletes a user. The tokens of the user become invalid; the boxes stay."""
    deleted = await app.users.delete(account, user_of_path(user_id))
    return _answer(request, deleted, is_deleted=True)


ROUTES = (list_users, create_user, get_user, replace_user, patch_user, delete_user)


def _answer(request: AnyRequest, user: User, **envelope: Any) -> Response[bytes]:
    return answer_document(request, user_document(user), user, user.user_id, **envelope)
