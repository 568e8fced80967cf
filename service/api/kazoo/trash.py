"""Routes of the trash of a box: `/v2/accounts/{account}/vmboxes/{vmbox}/trash`."""

from litestar import Response, delete, post, route
from msgspec import UNSET

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.kazoo.batches import read_ids, validated_ids
from service.api.kazoo.body import read_parameters
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    idempotency_key,
    message_context,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.pages import answer_page, decode_cursor, page_query
from service.api.kazoo.vmboxes import VMBOX
from service.api.kazoo.wire.messages import batch_response, trash_row
from service.domain.access import Permission
from service.domain.message import TrashCursor

TRASH = VMBOX + "/trash"


@route(TRASH, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.MESSAGES_READ})
async def list_trash(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Lists the removed messages of a box that can be restored, the last removed first. Each row
    has the time of the removal and the time until which the message can be restored."""
    context = await message_context(request, account, app, vmbox_id)
    query = page_query(request)
    start = decode_cursor(query.start_key, TrashCursor)
    page = await app.trash.list_messages(account, vmbox_of_path(vmbox_id), start, query.limit)
    grace = app.trash.grace_of(account)
    rows = [trash_row(removed, grace, context) for removed in page.items]
    return answer_page(request, query, rows, start=start, following=page.next)


@post(TRASH, status_code=200, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def restore_messages(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Restores removed messages to their folders. Each message succeeds or fails on its own: the
    status is 200 even if all of them fail. A message that is already in the box is in
    `succeeded`."""
    vmbox = vmbox_of_path(vmbox_id)
    ids = read_ids(await read_parameters(request))
    result = await app.trash.restore(account, vmbox, ids, idempotency_key(request))
    return succeed(request, batch_response(result))


@delete(TRASH, status_code=200, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def purge_trash(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Deletes the removed messages of a box with their audio, permanently and at once. Without
    `messages` it deletes all of them."""
    vmbox = vmbox_of_path(vmbox_id)
    selection = (await read_parameters(request)).get("messages")
    ids = None if selection is UNSET else validated_ids(selection)
    return succeed(request, batch_response(await app.trash.purge(account, vmbox, ids)))


ROUTES = (list_trash, restore_messages, purge_trash)
