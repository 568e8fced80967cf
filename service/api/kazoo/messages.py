"""Routes of messages: `/v2/accounts/{account}/vmboxes/{vmbox}/messages`."""

from litestar import Response, delete, put, route

from service.api.dependencies import App
from service.api.kazoo import wire
from service.api.kazoo.accept import MEDIA, UPLOAD
from service.api.kazoo.body import read_upload
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheView,
    idempotency_key,
    location,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.pages import answer_page
from service.api.kazoo.query import PageQuery, decode_key, list_query, page_query
from service.api.kazoo.vmboxes import COLLECTION, ONE
from service.api.kazoo.wire import View
from service.domain.clock import utc_now
from service.domain.message import LAST_ID, Folder, MessageCursor, MessagePage, month_of
from service.domain.schema import Document
from service.usecases.message_lists import ListQuery

ACCOUNT_MESSAGES = COLLECTION + "/messages"
MESSAGES = ONE + "/messages"
MESSAGE = MESSAGES + "/{message_id:str}"


@route(ACCOUNT_MESSAGES, http_method=["GET", "HEAD"])
async def list_account_messages(
    request: AnyRequest,
    account: TheAccount,
    app: App,
    view: TheView,
) -> Response[bytes]:
    """The messages of all boxes of an account, newest first, each under the id of its box."""
    page_asked, query = _asked(request, view)
    page = await app.message_lists.account_page(account, query)
    rows = [{row.vmbox_id.hex: wire.message_row(row, view)} for row in page.items]
    return _list(request, page_asked, query, page, rows)


@route(MESSAGES, http_method=["GET", "HEAD"])
async def list_messages(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    app: App,
    view: TheView,
) -> Response[bytes]:
    """The messages of a box, newest first."""
    page_asked, query = _asked(request, view)
    page = await app.message_lists.page(account, vmbox_of_path(vmbox_id), query)
    rows = [wire.message_row(row, view) for row in page.items]
    return _list(request, page_asked, query, page, rows)


@put(MESSAGES, status_code=201, opt={MEDIA: UPLOAD})
async def store_message(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    app: App,
    view: TheView,
) -> Response[bytes]:
    """Leaves a message: JSON and audio at once, the audio alone, or JSON that awaits its audio."""
    identity = vmbox_of_path(vmbox_id)
    with app.messages.uploads.spool() as spool:
        data, upload = await read_upload(request, spool)
        message = await app.messages.store(
            account,
            identity,
            wire.to_new_message(data, view.profile),
            upload,
            idempotency_key(request),
        )
    show = wire.message_metadata if upload is not None else wire.pending_message
    return succeed(
        request,
        show(message, view),
        status=201,
        headers=location(request, account, str(message.id)),
    )


@route(MESSAGE, http_method=["GET", "HEAD"])
async def get_message(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
    view: TheView,
) -> Response[bytes]:
    """The metadata of a message. Reading changes nothing."""
    message = await app.messages.get(account, vmbox_of_path(vmbox_id), message_of_path(message_id))
    return succeed(request, wire.message_metadata(message, view))


@delete(MESSAGE, status_code=200)
async def remove_message(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
    view: TheView,
) -> Response[bytes]:
    """Removes a message for good."""
    message = await app.messages.remove(
        account, vmbox_of_path(vmbox_id), message_of_path(message_id)
    )
    metadata = wire.message_metadata(message, view)
    return succeed(request, {**metadata, "folder": Folder.DELETED})


ROUTES = (
    list_account_messages,
    list_messages,
    store_message,
    get_message,
    remove_message,
)


def _asked(request: AnyRequest, view: View) -> tuple[PageQuery, ListQuery]:
    page = page_query(request)
    start = decode_key(page.start_key, MessageCursor)
    return page, list_query(request, page, start, view)


def _list(
    request: AnyRequest,
    page_asked: PageQuery,
    query: ListQuery,
    page: MessagePage,
    rows: list[Document],
) -> Response[bytes]:
    start = query.start or messages_start(page, query)
    return answer_page(request, page_asked, rows, start=start, following=page.next)


def messages_start(page: MessagePage, query: ListQuery) -> MessageCursor:
    """Where a page begins that was asked for without a key: at its first message, else at the
    end of the window."""
    if not page.items:
        until = query.until or utc_now().replace(microsecond=0)
        return MessageCursor(month_of(until), until, LAST_ID)
    first = page.items[0]
    return MessageCursor(first.id.month, first.received_at, first.id.id)
