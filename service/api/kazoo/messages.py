"""Routes of messages: `/v2/accounts/{account}/vmboxes/{vmbox}/messages`."""

from collections.abc import Sequence

from litestar import Response, delete, put, route

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.http.auth import slot_owner
from service.api.kazoo.accept import MEDIA, UPLOAD
from service.api.kazoo.body import read_upload
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    account_context,
    idempotency_key,
    location,
    message_context,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed, warn
from service.api.kazoo.pages import PageQuery, answer_page, page_query
from service.api.kazoo.query import list_query, search_terms
from service.api.kazoo.uploads import take_upload
from service.api.kazoo.vmboxes import VMBOX, VMBOXES
from service.api.kazoo.wire.messages import (
    MessageContext,
    clock_warnings,
    message_metadata,
    message_rows,
    stored_message,
    to_new_message,
)
from service.api.kazoo.wire.metadata_limits import fit_metadata
from service.api.kazoo.wire.searches import matched_rows
from service.domain.access import Permission
from service.domain.clock import utc_now
from service.domain.message import LAST_ID, Folder, MessageCursor, MessageSummary, month_of
from service.usecases.message_lists import ListQuery
from service.usecases.searches import SearchPage

ACCOUNT_MESSAGES = VMBOXES + "/messages"
MESSAGES = VMBOX + "/messages"
MESSAGE = MESSAGES + "/{message_id:str}"


@route(ACCOUNT_MESSAGES, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.MESSAGES_READ})
async def list_account_messages(
    request: AnyRequest,
    account: TheAccount,
    caller: TheCaller,
    app: App,
) -> Response[bytes]:
    """Lists the messages of all boxes of an account, the newest first. Each row is an object
    whose only key is the id of the box. With `q`, lists the messages that contain all its terms."""
    context = await account_context(request, account, app)
    page_request = page_query(request)
    query = list_query(request, page_request, context)
    vmbox_ids = caller.access.vmbox_ids
    if terms := search_terms(request):
        found = await app.searches.search_account(account, terms, query, vmbox_ids)
        keys = [result.message.vmbox_id.hex for result in found.items]
        return _answer_search(request, page_request, query, found, context, keys)
    page = await app.message_lists.list_account_messages(account, query, vmbox_ids)
    rows = message_rows(page.items, context)
    keys = [message.vmbox_id.hex for message in page.items]
    start = _start_of(page.items, query)
    return answer_page(request, page_request, rows, start=start, following=page.next, row_keys=keys)


@route(MESSAGES, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.MESSAGES_READ})
async def list_messages(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Lists the messages of a box, the newest first. Without `created_from` and `created_to` the
    list contains the messages within the retention. With `q`, lists those that contain all its
    terms."""
    context = await message_context(request, account, app, vmbox_id)
    page_request = page_query(request)
    query = list_query(request, page_request, context)
    if terms := search_terms(request):
        found = await app.searches.search_vmbox(account, vmbox_of_path(vmbox_id), terms, query)
        return _answer_search(request, page_request, query, found, context)
    page = await app.message_lists.list_messages(account, vmbox_of_path(vmbox_id), query)
    rows = message_rows(page.items, context)
    start = _start_of(page.items, query)
    return answer_page(request, page_request, rows, start=start, following=page.next)


@put(MESSAGES, status_code=201, opt={PERMISSION: Permission.MESSAGES_WRITE, MEDIA: UPLOAD})
async def store_message(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Stores a message. The body contains metadata and audio (multipart), the audio alone, or
    metadata alone (JSON). With metadata alone, `upload` names a direct upload that has the audio.
    Without `upload`, send the audio to `raw` later; until then the message is listed but not
    counted."""
    context = await message_context(request, account, app, vmbox_id)
    parsed_id = vmbox_of_path(vmbox_id)
    with app.messages.uploads.spool(slot_owner(request, account)) as spool:
        is_strict = app.strict_metadata
        data, upload = await read_upload(request, spool, is_stored=is_strict)
        # Audio in the request precedes a direct upload.
        direct, data = (None, data) if upload else take_upload(app, account, parsed_id, data)
        if not is_strict:
            data, warnings = fit_metadata(data)
            warn(request, warnings)
        new, key = to_new_message(data, context.profile), idempotency_key(request)
        if direct is None:
            message = await app.messages.store(account, parsed_id, new, upload, key)
        else:
            owner = slot_owner(request, account)
            message = await app.direct_uploads.complete(account, parsed_id, new, direct, owner, key)
    warn(request, clock_warnings(new, message, context))
    return succeed(
        request,
        stored_message(message, context, has_audio=message.audio is not None),
        status=201,
        headers=location(request, account, str(message.id)),
    )


@route(MESSAGE, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.MESSAGES_READ})
async def get_message(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
) -> Response[bytes]:
    """Returns the metadata of a message. The request does not change its folder."""
    context = await message_context(request, account, app, vmbox_id)
    message = await app.messages.get(account, vmbox_of_path(vmbox_id), message_of_path(message_id))
    return succeed(request, message_metadata(message, context))


@delete(MESSAGE, status_code=200, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def remove_message(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
) -> Response[bytes]:
    """Removes a message with its audio. Until the trash is purged, the message can be restored."""
    context = await message_context(request, account, app, vmbox_id)
    message = await app.messages.remove(
        account, vmbox_of_path(vmbox_id), message_of_path(message_id)
    )
    metadata = message_metadata(message, context)
    metadata.folder = Folder.DELETED
    return succeed(request, metadata)


ROUTES = (list_account_messages, list_messages, store_message, get_message, remove_message)


def _answer_search(
    request: AnyRequest,
    page_request: PageQuery,
    query: ListQuery,
    found: SearchPage,
    context: MessageContext,
    keys: Sequence[str] | None = None,
) -> Response[bytes]:
    rows = matched_rows(found.items, context)
    start = _start_of([result.message for result in found.items], query)
    return answer_page(
        request, page_request, rows, start=start, following=found.next, row_keys=keys
    )


def _start_of(messages: Sequence[MessageSummary], query: ListQuery) -> MessageCursor:
    """Returns the cursor of the request, else of the first message, else of the window's end."""
    if query.start is not None:
        return query.start
    if not messages:
        until = query.until or utc_now().replace(microsecond=0)
        return MessageCursor(month_of(until), until, LAST_ID)
    first = messages[0]
    return MessageCursor(first.id.month, first.received_at, first.id.id)
