"""Routes of boxes: `/v2/accounts/{account}/vmboxes`."""

from collections.abc import Callable

from litestar import Response, delete, patch, post, put, route

from service.api.dependencies import App
from service.api.http.conditional import if_match_matches, if_none_match_matches
from service.api.kazoo import wire
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheProfile,
    location,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.filters import Filter, read_filter
from service.api.kazoo.pages import answer_page
from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.query import (
    Times,
    ascends,
    created_and_modified,
    decode_key,
    page_query,
)
from service.domain import vmbox as vmbox_fields
from service.domain.errors import PreconditionFailed
from service.domain.page import NameCursor
from service.domain.schema import Field
from service.domain.vmbox import Vmbox
from service.usecases.vmboxes import Precondition

COLLECTION = "/accounts/{account_id:str}/vmboxes"
ONE = COLLECTION + "/{vmbox_id:str}"

FIELDS = {
    WireProfile.KAZOO: vmbox_fields.FIELDS,
    WireProfile.AUDIAN: {
        **vmbox_fields.FIELDS,
        "owner_id": Field(min_length=1, max_length=64),
    },
}


@route(COLLECTION, http_method=["GET", "HEAD"])
async def list_vmboxes(
    request: AnyRequest, account: TheAccount, app: App, profile: TheProfile
) -> Response[bytes]:
    """The boxes of an account by name, with their counts."""
    query = page_query(request)
    start = decode_key(query.start_key, NameCursor)
    wanted = read_filter(request.query_params.multi_items())
    times = created_and_modified(request)
    page = await app.vmboxes.list(
        account,
        start,
        query.limit,
        descending=not ascends(request, default=True),
        with_pins=profile is WireProfile.AUDIAN,
        predicate=_keeper(wanted, times) if wanted or times else None,
    )
    rows = [wire.vmbox_row(vmbox, profile) for vmbox in page.items]
    return answer_page(request, query, rows, start=start, following=page.next, metadata={})


@put(COLLECTION, status_code=201)
async def create_vmbox(
    request: AnyRequest, account: TheAccount, app: App, profile: TheProfile
) -> Response[bytes]:
    """A new box."""
    vmbox = await app.vmboxes.create(account, await read_data(request), FIELDS[profile])
    headers = location(request, account, vmbox.vmbox_id.hex)
    return _one(request, vmbox, status=201, headers=headers)


@route(ONE, http_method=["GET", "HEAD"])
async def get_vmbox(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """One box."""
    vmbox = await app.vmboxes.get(account, vmbox_of_path(vmbox_id))
    if not _expected(request)(vmbox):
        raise PreconditionFailed
    if if_none_match_matches(request.headers, _revision(vmbox)):
        return Response(b"", status_code=304, headers={"ETag": _etag(vmbox)})
    return _one(request, vmbox)


@post(ONE, status_code=200)
async def replace_vmbox(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    app: App,
    profile: TheProfile,
) -> Response[bytes]:
    """All settings of a box: what is left out goes back to its default, or goes.

    In the `audian` profile it merges, as PATCH does.
    """
    identity, expected = vmbox_of_path(vmbox_id), _expected(request)
    document = await read_data(request)
    change = app.vmboxes.patch if profile is WireProfile.AUDIAN else app.vmboxes.replace
    return _one(request, await change(account, identity, document, expected, FIELDS[profile]))


@patch(ONE)
async def patch_vmbox(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    app: App,
    profile: TheProfile,
) -> Response[bytes]:
    """Some settings of a box; null deletes."""
    identity, expected = vmbox_of_path(vmbox_id), _expected(request)
    changes = await read_data(request)
    vmbox = await app.vmboxes.patch(account, identity, changes, expected, FIELDS[profile])
    return _one(request, vmbox)


@delete(ONE, status_code=200)
async def delete_vmbox(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Deletes a box and all that is in it."""
    vmbox = await app.vmboxes.delete(account, vmbox_of_path(vmbox_id), _expected(request))
    return succeed(
        request,
        {**wire.vmbox_document(vmbox), "_read_only": {"deleted": True}},
        revision=_revision(vmbox),
        metadata=wire.vmbox_metadata(vmbox, deleted=True),
    )


ROUTES = (list_vmboxes, create_vmbox, get_vmbox, replace_vmbox, patch_vmbox, delete_vmbox)


def _one(
    request: AnyRequest, vmbox: Vmbox, status: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    return succeed(
        request,
        wire.vmbox_document(vmbox),
        status=status,
        revision=_revision(vmbox),
        metadata=wire.vmbox_metadata(vmbox),
        headers={"ETag": _etag(vmbox), **(headers or {})},
    )


def _revision(vmbox: Vmbox) -> str:
    return f"{vmbox.revision}-{vmbox.vmbox_id.hex}"


def _etag(vmbox: Vmbox) -> str:
    return f'"{_revision(vmbox)}"'


def _expected(request: AnyRequest) -> Precondition:
    """A box as `If-Match` names it."""
    return lambda vmbox: if_match_matches(request.headers, _revision(vmbox))


def _keeper(wanted: Filter, times: Times) -> Callable[[Vmbox], bool]:
    def keep(vmbox: Vmbox) -> bool:
        return times.holds(vmbox.created_at, vmbox.modified_at) and wanted.matches(
            wire.vmbox_filterable(vmbox)
        )

    return keep
