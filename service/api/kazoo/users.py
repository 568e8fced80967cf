"""Routes of users: `/v2/accounts/{account}/users`. No answer shows what a user signs in with."""

from typing import Any

from litestar import Response, delete, patch, post, put, route

from service.api.dependencies import App
from service.api.kazoo import wire
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount, location, user_of_path
from service.api.kazoo.envelope import succeed
from service.api.kazoo.filters import read_filter
from service.api.kazoo.pages import answer_page
from service.api.kazoo.query import (
    ascends,
    created_and_modified,
    decode_key,
    page_query,
)
from service.domain.page import NameCursor
from service.domain.user import User

COLLECTION = "/accounts/{account_id:str}/users"
ONE = COLLECTION + "/{user_id:str}"


@route(COLLECTION, http_method=["GET", "HEAD"])
async def list_users(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """The users of an account by name."""
    query = page_query(request)
    start = decode_key(query.start_key, NameCursor)
    wanted = read_filter(request.query_params.multi_items())
    times = created_and_modified(request)

    def keep(user: User) -> bool:
        return times.holds(user.created_at, user.modified_at) and wanted.matches(
            wire.user_document(user)
        )

    page = await app.users.list(
        account,
        start,
        query.limit,
        descending=not ascends(request, default=True),
        predicate=keep if wanted or times else None,
    )
    rows = [wire.user_row(user) for user in page.items]
    return answer_page(request, query, rows, start=start, following=page.next, metadata={})


@put(COLLECTION, status_code=201)
async def create_user(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """A new user."""
    user = await app.users.create(account, await read_data(request))
    headers = location(request, account, user.user_id.hex)
    return _one(request, user, status=201, headers=headers)


@route(ONE, http_method=["GET", "HEAD"])
async def get_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """One user."""
    return _one(request, await app.users.get(account, user_of_path(user_id)))


@post(ONE, status_code=200)
async def replace_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """All settings of a user: what is left out goes, but for the password."""
    document = await read_data(request)
    return _one(request, await app.users.replace(account, user_of_path(user_id), document))


@patch(ONE)
async def patch_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """Some settings of a user; null deletes. Another name needs the password with it."""
    changes = await read_data(request)
    return _one(request, await app.users.patch(account, user_of_path(user_id), changes))


@delete(ONE, status_code=200)
async def delete_user(
    request: AnyRequest, account: TheAccount, user_id: str, app: App
) -> Response[bytes]:
    """Deletes a user; its tokens end."""
    return _one(request, await app.users.delete(account, user_of_path(user_id)), deleted=True)


ROUTES = (list_users, create_user, get_user, replace_user, patch_user, delete_user)


def _one(request: AnyRequest, user: User, *, deleted: bool = False, **more: Any) -> Response[bytes]:
    document = wire.user_document(user)
    times = (user.created_at, user.modified_at)
    return succeed(
        request,
        {**document, "_read_only": {"deleted": True}} if deleted else document,
        revision=f"{user.revision}-{user.user_id.hex}",
        metadata=wire.metadata_of(user.user_id, *times, deleted=deleted),
        **more,
    )
