"""Routes of named API keys: `/v2/accounts/{account}/api_keys`."""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, delete, put, route

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount, api_key_of_path, location
from service.api.kazoo.documents import list_documents
from service.api.kazoo.envelope import succeed
from service.api.kazoo.times import parse_time, time_problem
from service.api.kazoo.wire.api_keys import api_key_row, created_api_key
from service.domain.access import Permission
from service.domain.api_key import FIELDS, ApiKey
from service.domain.errors import Invalid, Problem, Rule
from service.domain.message import parse_hex_id
from service.domain.schema import Document, apply_schema, submitted_keys

API_KEYS = "/accounts/{account_id:str}/api_keys"
API_KEY = API_KEYS + "/{key_id:str}"

_NO_BOXES_FOR_ADMIN = "A key with the scope account:admin has access to all boxes"


@route(API_KEYS, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def list_api_keys(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Lists the named API keys of an account. The list is sorted by name and contains no secret."""
    read = partial(app.api_keys.list, account)
    return await list_documents(request, read, api_key_row, _filterable)


@put(API_KEYS, status_code=201, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def create_api_key(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Creates a named API key. Only this response contains the key. `PUT /v2/api_auth` exchanges it
    for a token. The token has only the `scopes` of the key. With `vmbox_ids` it is limited to these
    boxes. The service stores a hash of the key."""
    data, problems = apply_schema(submitted_keys(await read_data(request)), FIELDS)
    vmbox_ids, expires_at = _vmbox_ids(data, problems), _expiry(data, problems)
    if problems:
        raise Invalid(problems)
    scopes = [Permission(scope) for scope in data["scopes"]]
    if vmbox_ids is not None and Permission.ACCOUNT_ADMIN in scopes:
        raise Invalid.of("vmbox_ids", Rule.WRONG_FORMAT, message=_NO_BOXES_FOR_ADMIN)
    key, secret = await app.api_keys.create(account, data["name"], scopes, vmbox_ids, expires_at)
    headers = location(request, account, key.key_id.hex)
    return succeed(request, created_api_key(key, secret), status=201, headers=headers)


@route(API_KEY, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def get_named_api_key(
    request: AnyRequest, account: TheAccount, key_id: str, app: App
) -> Response[bytes]:
    """Returns a named API key without its secret. `last_used` is written at most once a minute."""
    return succeed(request, api_key_row(await app.api_keys.get(account, api_key_of_path(key_id))))


@delete(API_KEY, status_code=200, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def revoke_api_key(
    request: AnyRequest, account: TheAccount, key_id: str, app: App
) -> Response[bytes]:
    """Revokes a named API key. The key and its tokens become invalid within 5 seconds."""
    key = await app.api_keys.revoke(account, api_key_of_path(key_id))
    return succeed(request, api_key_row(key))


ROUTES = (list_api_keys, create_api_key, get_named_api_key, revoke_api_key)


def _filterable(key: ApiKey) -> Document:
    document: Document = msgspec.to_builtins(api_key_row(key))
    return document


def _vmbox_ids(data: Document, problems: list[Problem]) -> list[UUID] | None:
    texts: Any = data.get("vmbox_ids")
    if texts is None or problems:
        return None
    ids = [parse_hex_id(text) for text in texts]
    if not all(ids):
        problems.append(Problem(field="vmbox_ids", rule=Rule.NOT_FOUND))
    return [each for each in ids if each is not None]


def _expiry(data: Document, problems: list[Problem]) -> datetime | None:
    """Reads `expires`: Gregorian seconds, also as text, or ISO-8601."""
    value = data.get("expires")
    if value is None or problems:
        return None
    moment = parse_time(value)
    if moment is None:
        problems.append(time_problem("expires", value))
    return moment
