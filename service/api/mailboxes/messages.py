"""Routes of messages: `/voip/mailbox/{mailbox}/messages`."""

from uuid import UUID

from litestar import Response, delete, route
from litestar.response import Stream

from service.api.dependencies import App
from service.api.http.audio_response import create_audio_response, file_name_of
from service.api.mailboxes import wire
from service.api.mailboxes.dependencies import (
    AnyRequest,
    TheAccount,
    mailbox_of_path,
    message_of_path,
)
from service.api.mailboxes.envelope import answer
from service.api.mailboxes.mailboxes import ONE as MAILBOX
from service.domain.account import AccountFacts
from service.domain.clock import utc_now
from service.domain.errors import Invalid, MessageNotFound, Rule
from service.domain.message import Message, MessageId, retained_since
from service.domain.schema import Document
from service.usecases.message_lists import ListQuery, MessageLists
from service.usecases.messages import Messages

COLLECTION = MAILBOX + "/messages"
ONE = COLLECTION + "/{message_uuid:str}"
LARGEST_PAGE = 1_000


@route(COLLECTION, http_method=["GET", "HEAD"])
async def list_mailbox_messages(
    request: AnyRequest, uuid: str, account: TheAccount, app: App
) -> Response[bytes]:
    """The messages of a mailbox, newest first: `limit` of them, those older than `before`."""
    vmbox_id = mailbox_of_path(uuid)
    limit, before = _limit(request), _before(request)
    if before is None:
        page = await app.message_lists.page(account, vmbox_id, ListQuery(limit=limit))
        found = page.items
    else:
        found = await _older(app.message_lists, account, vmbox_id, before, limit)
    return answer([_shown(message, app.messages) for message in found])


@route(ONE, http_method=["GET", "HEAD"])
async def get_mailbox_message(
    uuid: str, message_uuid: str, account: TheAccount, app: App
) -> Response[bytes]:
    """One message. Reading changes nothing."""
    vmbox_id, identity = mailbox_of_path(uuid), message_of_path(message_uuid)
    return answer(_shown(await app.messages.get(account, vmbox_id, identity), app.messages))


@route(ONE + "/audio", http_method=["GET", "HEAD"])
async def get_mailbox_audio(
    request: AnyRequest,
    uuid: str,
    message_uuid: str,
    account: TheAccount,
    app: App,
) -> Response[bytes] | Stream:
    """The audio of a message, or a range of it."""
    vmbox_id, identity = mailbox_of_path(uuid), message_of_path(message_uuid)
    recording = await app.recordings.get(account, vmbox_id, identity)
    name = file_name_of(recording)
    return await create_audio_response(request, recording.audio, name, app.recordings.read)


@delete(ONE, status_code=204)
async def remove_mailbox_message(
    uuid: str, message_uuid: str, account: TheAccount, app: App
) -> None:
    """Removes a message for good."""
    vmbox_id, identity = mailbox_of_path(uuid), message_of_path(message_uuid)
    await app.messages.remove(account, vmbox_id, identity)


ROUTES = (list_mailbox_messages, get_mailbox_message, get_mailbox_audio, remove_mailbox_message)


def _shown(message: Message, messages: Messages) -> Document:
    return wire.message(message, retained_since(utc_now(), messages.retention_days))


def _limit(request: AnyRequest) -> int:
    """`limit`, from 1 to what a page may hold. Raises Invalid."""
    text = request.query_params.get("limit", str(LARGEST_PAGE))
    if text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= LARGEST_PAGE:
        return int(text)
    raise Invalid.of("limit", Rule.WRONG_FORMAT)


def _before(request: AnyRequest) -> MessageId | None:
    """`before`, the id of a message. Raises Invalid."""
    text = request.query_params.get("before")
    if text is None:
        return None
    message_id = wire.to_message_id(text)
    if message_id is None:
        raise Invalid.of("before", Rule.WRONG_FORMAT)
    return message_id


async def _older(
    lists: MessageLists, account: AccountFacts, vmbox_id: UUID, before: MessageId, limit: int
) -> list[Message]:
    """What follows a message in the list, whether it is still there or not. Raises Invalid."""
    try:
        start = await lists.get_cursor(account, vmbox_id, before)
    except MessageNotFound:
        raise Invalid.of("before", Rule.NOT_FOUND) from None
    page = await lists.page(account, vmbox_id, ListQuery(start=start, limit=limit + 1))
    return [message for message in page.items if message.id != before][:limit]
