"""Routes that change several messages, and that move or copy them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from litestar import Response, delete, post
from msgspec import UNSET

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.kazoo.body import RequestParameters, read_parameters
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    idempotency_key,
    message_context,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE, MESSAGES
from service.api.kazoo.query import message_filter
from service.api.kazoo.wire.messages import batch_response, message_metadata, to_folder
from service.domain.access import Permission
from service.domain.account import Caller
from service.domain.audio_errors import NoAudio
from service.domain.batch import MAX_MESSAGES, MAX_TARGETS, Reason
from service.domain.errors import (
    EditConflict,
    Invalid,
    MessageExpired,
    MessageNotFound,
    Rule,
    StorageUnavailable,
    VoicemailError,
)
from service.domain.message import Folder, MessageId


@post(MESSAGES, status_code=200, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def change_messages(
    request: AnyRequest,
    account: TheAccount,
    caller: TheCaller,
    vmbox_id: str,
    app: App,
) -> Response[bytes]:
    """Changes the folder of messages, or moves or copies them. Each message succeeds or fails on
    its own: the status is 200 even if all of them fail."""
    source = vmbox_of_path(vmbox_id)
    parameters = await read_parameters(request)
    ids = read_ids(parameters)
    if (source_id := parameters.get("source_id")) is UNSET:
        folder = _read_folder(parameters) or Folder.SAVED
        result = await app.batches.change_folder(account, source, ids, folder)
    else:
        targets, is_move = _read_targets(source_id, caller)
        key = idempotency_key(request)
        result = await app.transfers.transfer(account, source, ids, targets, moved=is_move, key=key)
    return succeed(request, batch_response(result))


@delete(MESSAGES, status_code=200, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def remove_messages(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Removes messages of a box. Without `messages`, `folder` and filters it removes all messages;
    each of these parameters restricts the selection."""
    context = await message_context(request, account, app, vmbox_id)
    vmbox = vmbox_of_path(vmbox_id)
    parameters = await read_parameters(request)
    folder, predicate = _read_folder(parameters), message_filter(request, context)
    selection = parameters.get("messages")
    ids = None if selection is UNSET else validated_ids(selection)
    unmatched: list[str] = []
    if predicate is not None:
        matching = await app.message_lists.list_ids(account, vmbox, predicate)
        matching_ids = set(matching)
        unmatched = [text for text in dict.fromkeys(ids or ()) if text not in matching_ids]
        ids = [text for text in (matching if ids is None else ids) if text in matching_ids]
    if ids is None:
        result = await app.batches.remove_all(account, vmbox, folder)
    else:
        result = await app.batches.remove(account, vmbox, ids, folder)
    result.failed.extend((text, Reason.NOT_FOUND) for text in unmatched)
    return succeed(request, batch_response(result))


@post(MESSAGE, status_code=200, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def change_message(
    request: AnyRequest,
    account: TheAccount,
    caller: TheCaller,
    vmbox_id: str,
    message_id: str,
    app: App,
) -> Response[bytes]:
    """Changes the folder of a message, or moves or copies it. `source_id` is the target box of a
    move or the list of the target boxes of copies. Without `source_id` and `folder` the message
    is moved to the folder `saved`."""
    context = await message_context(request, account, app, vmbox_id)
    vmbox, parsed_id = vmbox_of_path(vmbox_id), message_of_path(message_id)
    parameters = await read_parameters(request)
    if (source_id := parameters.get("source_id")) is UNSET:
        folder = _read_folder(parameters) or Folder.SAVED
        message = await app.messages.change_folder(account, vmbox, parsed_id, folder)
        return succeed(request, message_metadata(message, context))
    targets, is_move = _read_targets(source_id, caller)
    result = await app.transfers.transfer(account, vmbox, [str(parsed_id)], targets, moved=is_move)
    if not result.succeeded:
        raise _error_of(result.failed[0][1], parsed_id, context.retained_since)
    if not is_move:
        return succeed(request, batch_response(result))
    message = await app.messages.get(account, targets[0], result.succeeded[0])
    return succeed(request, message_metadata(message, context))


ROUTES = (change_messages, remove_messages, change_message)


def _error_of(reason: Reason, parsed_id: MessageId, retained_since: datetime) -> VoicemailError:
    """Returns the error of a request about one message that failed for this reason."""
    match reason:
        case Reason.NOT_FOUND:
            return MessageNotFound(str(parsed_id))
        case Reason.EXPIRED:
            return MessageExpired(str(parsed_id), retained_since)
        case Reason.NO_AUDIO:
            return NoAudio()
        case Reason.CONFLICT:
            return EditConflict()
        case Reason.UNAVAILABLE:
            return StorageUnavailable()
        case Reason.QUOTA_EXCEEDED | Reason.HELD | Reason.NUMBER_TAKEN | Reason.FULL:
            raise AssertionError(reason)  # only of the trash, and of forwarding
    assert_never(reason)


def _read_folder(parameters: RequestParameters) -> Folder | None:
    folder = parameters.get("folder")
    return None if folder in (UNSET, None) else to_folder(folder)


def read_ids(parameters: RequestParameters) -> list[str]:
    """Reads `messages`, a list of message ids. Raises Invalid."""
    ids = parameters.get("messages")
    if not isinstance(ids, list) or not ids:
        raise Invalid.of("messages", Rule.REQUIRED)
    return validated_ids(ids)


def validated_ids(ids: Any) -> list[str]:
    """Checks a list of message ids. Raises Invalid."""
    if not isinstance(ids, list) or not all(isinstance(text, str) for text in ids):
        raise Invalid.of("messages", Rule.REQUIRED)
    if len(ids) > MAX_MESSAGES:
        raise Invalid.of("messages", Rule.MAX_ITEMS, target=MAX_MESSAGES, value=len(ids))
    return ids


def _read_targets(source_id: Any, caller: Caller) -> tuple[list[UUID], bool]:
    """Reads `source_id`: one box id is a move, a list of box ids is a copy.

    Raises Invalid if it is empty, VmboxNotFound for a malformed id, Forbidden.
    """
    is_move = not isinstance(source_id, list)
    ids: Sequence[Any] = [source_id] if is_move else source_id
    if not ids or not all(isinstance(text, str) and text for text in ids):
        raise Invalid.of("source_id", Rule.REQUIRED)
    if len(ids) > MAX_TARGETS:
        raise Invalid.of("source_id", Rule.MAX_ITEMS, target=MAX_TARGETS, value=len(ids))
    targets = [vmbox_of_path(text) for text in ids]
    for target in targets:
        caller.access.check_vmbox(target)
    return targets, is_move
