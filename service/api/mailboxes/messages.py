"""Routes of messages: `/voip/mailbox/{mailbox}/messages`."""

from uuid import UUID

from litestar import Response, delete, route
from litestar.response import Stream

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.http.recording_response import answer_recording
from service.api.mailboxes import wire
from service.api.mailboxes.dependencies import (
    AnyRequest,
    TheAccount,
    mailbox_of_path,
    message_of_path,
)
from service.api.mailboxes.envelope import respond
from service.api.mailboxes.mailboxes import ITEM as MAILBOX
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.clock import utc_now
from service.domain.errors import Invalid, MessageNotFound, Rule
from service.domain.message import MessageId, MessageSummary
from service.usecases.message_lists import ListQuery, MessageLists

COLLECTION = MAILBOX + "/messages"
ITEM = COLLECTION + "/{message_uuid:str}"
MAX_PAGE_SIZE = 1_000


@route(COLLECTION, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.MESSAGES_READ})
async def list_mailbox_messages(
    request: AnyRequest, uuid: str, account: TheAccount, app: App
) -> Response[bytes]:
    """Lists the messages of a mailbox. The newest message comes first.

    To read the next page, send the `uuid` of the last message as `before`.
    """
    vmbox_id = mailbox_of_path(uuid)
    limit, before = _limit_of(request), _before_of(request)
    if before is None:
        page = await app.message_lists.list_messages(account, vmbox_id, ListQuery(limit=limit))
        messages = page.items
    else:
        messages = await _list_older(app.message_lists, account, vmbox_id, before, limit)
    since = (await app.retention.of_vmbox(account, vmbox_id)).retained_since(utc_now())
    return respond([wire.to_message(message, since) for message in messages])


@route(ITEM, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.MESSAGES_READ})
async def get_mailbox_message(
    uuid: str, message_uuid: str, account: TheAccount, app: App
) -> Response[bytes]:
    """Returns a message. Reading a message does not change its folder."""
    vmbox_id, message_id = mailbox_of_path(uuid), message_of_path(message_uuid)
    message = await app.messages.get(account, vmbox_id, message_id)
    since = (await app.retention.of_vmbox(account, vmbox_id)).retained_since(utc_now())
    return respond(wire.to_message(message, since))


@route(ITEM + "/audio", http_method=["GET", "HEAD"], opt={PERMISSION: Permission.MESSAGES_READ})
async def get_mailbox_audio(
    request: AnyRequest, uuid: str, message_uuid: str, account: TheAccount, app: App
) -> Response[bytes] | Stream:
    """Returns the audio of a message. A `Range` header selects a part of it. `format` or `Accept`
    selects another format than the stored one."""
    vmbox_id, message_id = mailbox_of_path(uuid), message_of_path(message_uuid)
    recording = await app.recordings.get(account, vmbox_id, message_id)
    return await answer_recording(request, app, account, recording)


@delete(ITEM, status_code=204, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def remove_mailbox_message(
    uuid: str, message_uuid: str, account: TheAccount, app: App
) -> None:
    """Removes a message. Until the trash is purged, it can be restored under `/v2`."""
    vmbox_id, message_id = mailbox_of_path(uuid), message_of_path(message_uuid)
    await app.messages.remove(account, vmbox_id, message_id)


ROUTES = (list_mailbox_messages, get_mailbox_message, get_mailbox_audio, remove_mailbox_message)


def _limit_of(request: AnyRequest) -> int:
    text = request.query_params.get("limit", str(MAX_PAGE_SIZE))
    if text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= MAX_PAGE_SIZE:
        return int(text)
    raise Invalid.of("limit", Rule.WRONG_FORMAT)


def _before_of(request: AnyRequest) -> MessageId | None:
    text = request.query_params.get("before")
    if text is None:
        return None
    message_id = wire.parse_message_id(text)
    if message_id is None:
        raise Invalid.of("before", Rule.WRONG_FORMAT)
    return message_id


async def _list_older(
    lists: MessageLists, account: AccountFacts, vmbox_id: UUID, before: MessageId, limit: int
) -> list[MessageSummary]:
    """Returns the messages after `before`, which may have been removed. Raises Invalid."""
    try:
        start = await lists.get_cursor(account, vmbox_id, before)
    except MessageNotFound:
        raise Invalid.of("before", Rule.NOT_FOUND) from None
    page = await lists.list_messages(account, vmbox_id, ListQuery(start=start, limit=limit + 1))
    return [message for message in page.items if message.id != before][:limit]
