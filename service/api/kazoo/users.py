"""Routes of users: `/v2/accounts/{account}/users`. No response contains credentials."""

from functools import partial
from typing import Any

from litestar import Response, delete, patch, post, put, route

from service.api.dependencies import App
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount, location, user_of_path
from service.api.kazoo.documents import answer_document, list_documents
from service.api.kazoo.wire.documents import user_document, user_row
from service.domain.user import User

USERS = "/accounts/{account_id:str}/users"
USER = USERS + "/{user_id:str}"


@route(USERS, http_method=["GET", "HEAD"])
async def list_users(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Lists the users of an account. The list is sorted by name."""
    read = partial(app.users.list, account)
    return await list_documents(request, read, user_row, user_document)


@put(USERS, status_code=201)
async def create_user(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Creates a user. A user without a password cannot sign in but can own boxes."""
    user = await app.users.create(account, await read_data(request))
    headers = location(request, account, user.user_id.hex)
    return _answer(request, user, status=201, headers=headers)


@route(USER, http_method=["GET", "HEAD"])
async def get_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """Returns a user. The password is never part of a response."""
    return _answer(request, await app.users.get(account, user_of_path(user_id)))


@post(USER, status_code=200)
async def replace_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """Replaces all settings of a user. Absent settings are removed; an absent password stays.
    A new username needs the password in the same request."""
    document = await read_data(request)
    return _answer(request, await app.users.replace(account, user_of_path(user_id), document))


@patch(USER)
async def patch_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """Changes some settings of a user. A null deletes a setting. A new username needs the
    password in the same request."""
    changes = await read_data(request)
    return _answer(request, await app.users.patch(account, user_of_path(user_id), changes))


@delete(USER, status_code=200)
async def delete_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """Deletes a user. The tokens of the user become invalid; the boxes stay."""
    deleted = await app.users.delete(account, user_of_path(user_id))
    return _answer(request, deleted, is_deleted=True)


ROUTES = (list_users, create_user, get_user, replace_user, patch_user, delete_user)


def _answer(request: AnyRequest, user: User, **envelope: Any) -> Response[bytes]:
    return answer_document(request, user_document(user), user, user.user_id, **envelope)
