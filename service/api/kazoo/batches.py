"""Routes of many messages: `POST` and `DELETE .../vmboxes/{vmbox}/messages`; moving and copying."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from litestar import Response, delete, post
from msgspec import UNSET

from service.api.dependencies import App
from service.api.kazoo import wire
from service.api.kazoo.body import RequestParameters, read_parameters
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheView,
    idempotency_key,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE, MESSAGES
from service.api.kazoo.query import message_filter
from service.domain.batch import MAX_MESSAGES, MAX_TARGETS, BatchResult, Reason
from service.domain.errors import (
    EditConflict,
    Invalid,
    MessageExpired,
    MessageNotFound,
    NoAudio,
    Rule,
    StorageUnavailable,
    VoicemailError,
)
from service.domain.message import Folder, MessageId
from service.domain.schema import Document

_WORDS = {
    Reason.NOT_FOUND: "not_found",
    Reason.EXPIRED: "prior_to_retention_duration",
    Reason.NO_AUDIO: "no_audio",
    Reason.CONFLICT: "conflict",
    Reason.UNAVAILABLE: "datastore_unreachable",
}


@post(MESSAGES, status_code=200)
async def change_messages(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    app: App,
) -> Response[bytes]:
    """Files, moves or copies messages, each by itself."""
    source = vmbox_of_path(vmbox_id)
    asked = await read_parameters(request)
    ids = ids_of(asked)
    if (source_id := asked.get("source_id")) is UNSET:
        folder = _folder(asked) or Folder.SAVED
        result = await app.batches.change_folder(account, source, ids, folder)
    else:
        targets, moved = _targets(source_id)
        key = idempotency_key(request)
        result = await app.transfers.transfer(account, source, ids, targets, moved=moved, key=key)
    return succeed(request, batch_result(result))


@delete(MESSAGES, status_code=200)
async def remove_messages(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App, view: TheView
) -> Response[bytes]:
    """Removes the messages that are named, or all of them; of one folder when one is named, and
    only those that pass every filter of the query."""
    vmbox = vmbox_of_path(vmbox_id)
    asked = await read_parameters(request)
    folder, keep = _folder(asked), message_filter(request, view)
    named = asked.get("messages")
    ids = None if named is UNSET else _bounded(named)
    left_out: list[str] = []
    if keep is not None:
        matching = await app.message_lists.list_ids(account, vmbox, keep)
        found = set(matching)
        left_out = [one for one in dict.fromkeys(ids or ()) if one not in found]
        ids = [one for one in (matching if ids is None else ids) if one in found]
    if ids is None:
        result = await app.batches.remove_all(account, vmbox, folder)
    else:
        result = await app.batches.remove(account, vmbox, ids, folder)
    result.failed.extend((one, Reason.NOT_FOUND) for one in left_out)
    return succeed(request, batch_result(result))


@post(MESSAGE, status_code=200)
async def change_message(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
    view: TheView,
) -> Response[bytes]:
    """Files a message, into `saved` when no folder is named; or moves it, or copies it."""
    vmbox, identity = vmbox_of_path(vmbox_id), message_of_path(message_id)
    asked = await read_parameters(request)
    if (source_id := asked.get("source_id")) is UNSET:
        folder = _folder(asked) or Folder.SAVED
        message = await app.messages.change_folder(account, vmbox, identity, folder)
        return succeed(request, wire.message_metadata(message, view))
    targets, moved = _targets(source_id)
    result = await app.transfers.transfer(account, vmbox, [str(identity)], targets, moved=moved)
    if not result.succeeded:
        raise _refusal(result.failed[0][1], identity, view.retained_since)
    if not moved:
        return succeed(request, batch_result(result))
    message = await app.messages.get(account, targets[0], result.succeeded[0])
    return succeed(request, wire.message_metadata(message, view))


ROUTES = (change_messages, remove_messages, change_message)


def batch_result(result: BatchResult) -> Document:
    """Both keys always; what failed is a list of single-key objects."""
    return {
        "succeeded": [str(message_id) for message_id in result.succeeded],
        "failed": [{text: _WORDS[reason]} for text, reason in result.failed],
    }


def _refusal(reason: Reason, identity: MessageId, oldest: datetime) -> VoicemailError:
    """A request about one message is refused as a whole."""
    match reason:
        case Reason.NOT_FOUND:
            return MessageNotFound(str(identity))
        case Reason.EXPIRED:
            return MessageExpired(str(identity), oldest)
        case Reason.NO_AUDIO:
            return NoAudio()
        case Reason.CONFLICT:
            return EditConflict()
        case Reason.UNAVAILABLE:
            return StorageUnavailable()
    assert_never(reason)


def _folder(asked: RequestParameters) -> Folder | None:
    named = asked.get("folder")
    return None if named in (UNSET, None) else wire.to_folder(named)


def ids_of(asked: RequestParameters) -> list[str]:
    """The `messages` of a request about several. Raises Invalid."""
    ids = asked.get("messages")
    if not isinstance(ids, list) or not ids:
        raise Invalid.of("messages", Rule.REQUIRED)
    return _bounded(ids)


def _bounded(ids: Any) -> list[str]:
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise Invalid.of("messages", Rule.REQUIRED)
    if len(ids) > MAX_MESSAGES:
        raise Invalid.of("messages", Rule.MAX_ITEMS, target=MAX_MESSAGES, value=len(ids))
    return ids


def _targets(source_id: Any) -> tuple[list[UUID], bool]:
    """The boxes of `source_id`, and whether it means a move: one id does, a list is a copy.

    None may be empty; an id that is none names no box.
    """
    moved = not isinstance(source_id, list)
    ids: Sequence[Any] = [source_id] if moved else source_id
    if not ids or not all(isinstance(one, str) and one for one in ids):
        raise Invalid.of("source_id", Rule.REQUIRED)
    if len(ids) > MAX_TARGETS:
        raise Invalid.of("source_id", Rule.MAX_ITEMS, target=MAX_TARGETS, value=len(ids))
    return [vmbox_of_path(one) for one in ids], moved
