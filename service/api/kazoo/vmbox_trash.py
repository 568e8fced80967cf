"""Routes of the trash of an account: `/v2/accounts/{account}/trash`."""

from typing import Any

from litestar import Response, delete, post, route
from msgspec import UNSET

from service.api.dependencies import App
from service.api.http.access import ALL_VMBOXES, PERMISSION
from service.api.kazoo.accounts import ACCOUNT
from service.api.kazoo.body import read_parameters
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    idempotency_key,
    wire_profile,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.pages import answer_page, decode_cursor, page_query
from service.api.kazoo.wire.vmbox_trash import vmbox_batch_response, vmbox_trash_row
from service.domain.access import Permission
from service.domain.batch import MAX_MESSAGES
from service.domain.errors import Invalid, Rule
from service.domain.vmbox import VmboxTrashCursor

VMBOX_TRASH = ACCOUNT + "/trash"
NO_VMBOXES = Invalid.of("vmboxes", Rule.REQUIRED, message="No array of vmbox ids are specified")


@route(
    VMBOX_TRASH,
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.VMBOXES_READ, ALL_VMBOXES: True},
)
async def list_vmbox_trash(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Lists the deleted boxes of an account that can be restored, the last deleted first. Each row
    has the time of the deletion and the time until which the box can be restored."""
    profile = wire_profile(request, account)
    query = page_query(request)
    start = decode_cursor(query.start_key, VmboxTrashCursor)
    page = await app.vmbox_trash.list(account, start, query.limit)
    grace = app.trash.grace_of(account)
    rows = [vmbox_trash_row(vmbox, grace, profile) for vmbox in page.items]
    return answer_page(request, query, rows, start=start, following=page.next)


@post(VMBOX_TRASH, status_code=200, opt={PERMISSION: Permission.VMBOXES_WRITE, ALL_VMBOXES: True})
async def restore_vmboxes(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Restores deleted boxes with their messages, numbers, greetings and settings. Each box
    succeeds or fails on its own: the status is 200 even if all of them fail. If the only requested
    box fails because another box has its number, the status is 409. A box that is not deleted
    is in `succeeded`."""
    ids = _validated_ids((await read_parameters(request)).get("vmboxes"))
    result = await app.vmbox_trash.restore(account, ids, idempotency_key(request))
    return succeed(request, vmbox_batch_response(result))


@delete(VMBOX_TRASH, status_code=200, opt={PERMISSION: Permission.VMBOXES_WRITE, ALL_VMBOXES: True})
async def purge_vmbox_trash(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Deletes the deleted boxes of an account with their messages, permanently and at once. Without
    `vmboxes` it deletes all of them."""
    selection = (await read_parameters(request)).get("vmboxes")
    ids = None if selection is UNSET else _validated_ids(selection)
    return succeed(request, vmbox_batch_response(await app.vmbox_trash.purge(account, ids)))


ROUTES = (list_vmbox_trash, restore_vmboxes, purge_vmbox_trash)


def _validated_ids(ids: Any) -> list[str]:
    """Checks a list of box ids. Raises Invalid."""
    if not isinstance(ids, list) or not ids or not all(isinstance(text, str) for text in ids):
        raise NO_VMBOXES
    if len(ids) > MAX_MESSAGES:
        raise Invalid.of("vmboxes", Rule.MAX_ITEMS, target=MAX_MESSAGES, value=len(ids))
    return ids
