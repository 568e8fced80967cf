"""Operations of messages, one and many."""

from datetime import UTC, datetime

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.kazoo import batches, messages
from service.api.kazoo.openapi import parameters, samples
from service.api.kazoo.openapi.bodies import envelope, link, pages, success, upload
from service.api.kazoo.openapi.refusals import UPLOADS
from service.api.kazoo.openapi.schemas import FOLDERS, ref
from service.api.kazoo.openapi.vmboxes import BAD_LIST, UNKNOWN_VMBOX
from service.domain.batch import MAX_MESSAGES
from service.domain.errors import (
    EditConflict,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    Invalid,
    MessageExpired,
    MessageNotFound,
    NoAudio,
    Rule,
    TooManyPending,
    VmboxFull,
)
from service.domain.message import MAX_PENDING_PER_VMBOX

TAG = {"name": "Messages", "description": "Messages in boxes, one and many at once"}
UNKNOWN_MESSAGE = MessageNotFound(samples.UNKNOWN_MESSAGE_ID)
NOTHING_NAMED = Invalid.of("messages", Rule.REQUIRED)

_NAME = TAG["name"]
_KEYS = (IdempotencyKeyInUse(), IdempotencyKeyReused())
_FOLDER_UNKNOWN = Invalid.of("folder", Rule.ENUM, target=FOLDERS, value="inbox")
_NO_TARGET = Invalid.of("source_id", Rule.REQUIRED)
_TOO_MANY = Invalid.of("messages", Rule.MAX_ITEMS, target=MAX_MESSAGES, value=MAX_MESSAGES + 1)
_EXPIRED = MessageExpired(samples.MESSAGE_ID, datetime(2024, 2, 12, tzinfo=UTC))
_BAD_WINDOW = Invalid.of(
    "created_from",
    Rule.DATE_RANGE,
    value=samples.CREATED_FROM,
    message=f"created_to {samples.CREATED_FROM - 1} is prior to "
    f"created_from {samples.CREATED_FROM}",
)
_LIST = (
    *parameters.PAGES,
    *parameters.CREATED,
    "filter_folder",
    "folder",
    *parameters.FILTERS,
    "profile",
)
_REFUSED_LIST = (*BAD_LIST, _BAD_WINDOW, _FOLDER_UNKNOWN)


def _links() -> Json:
    """What one can do with a message."""
    targets = {
        "get": ("get_message", "Read it"),
        "change": ("change_message", "File, move or copy it"),
        "remove": ("remove_message", "Remove it"),
        "listen": ("get_audio", "Listen to it"),
        "attach": ("put_audio", "Give it its audio, or another"),
    }
    return {
        name: link(
            operation,
            text,
            vmbox_id="$request.path.vmbox_id",
            message_id="$response.body#/data/media_id",
        )
        for name, (operation, text) in targets.items()
    }


_DONE = success(ref("BatchResult"), samples.BATCH, text="What came of each")
_CHANGES: dict[str, Json] = {
    "file": {"folder": "saved", "messages": [samples.MESSAGE_ID]},
    "move": {"source_id": samples.OTHER_VMBOX_ID, "messages": [samples.MESSAGE_ID]},
    "copy": {"source_id": [samples.OTHER_VMBOX_ID], "messages": [samples.MESSAGE_ID]},
}

OPERATIONS = (
    Operation(
        handler=messages.list_account_messages,
        tag=_NAME,
        parameters=_LIST,
        answers=pages(
            {
                "type": "object",
                "additionalProperties": ref("MessageRow"),
                "minProperties": 1,
                "maxProperties": 1,
            },
            [{samples.VMBOX_ID: samples.MESSAGE_ROW}],
            text="Messages, each under the id of its box",
        ),
        refusals=_REFUSED_LIST,
    ),
    Operation(
        handler=messages.list_messages,
        tag=_NAME,
        parameters=_LIST,
        answers=pages(ref("MessageRow"), [samples.MESSAGE_ROW], text="Messages"),
        refusals=(*_REFUSED_LIST, UNKNOWN_VMBOX),
    ),
    Operation(
        handler=messages.store_message,
        tag=_NAME,
        parameters=("idempotency_key", "filename", "profile"),
        body=upload(ref("NewMessage"), {"message": samples.NEW_MESSAGE}, alone=True),
        answers={
            201: success(
                ref("StoredMessage"),
                samples.PENDING,
                text="Stored",
                headers=("Location",),
                links=_links(),
            )
        },
        refusals=(
            UNKNOWN_VMBOX,
            _FOLDER_UNKNOWN,
            VmboxFull(100, 100),
            TooManyPending(MAX_PENDING_PER_VMBOX),
            *_KEYS,
            *UPLOADS,
        ),
    ),
    Operation(
        handler=batches.change_messages,
        tag=_NAME,
        parameters=("folder", "idempotency_key"),
        body=envelope(ref("MessageChanges"), _CHANGES),
        answers={200: _DONE},
        refusals=(UNKNOWN_VMBOX, NOTHING_NAMED, _TOO_MANY, _NO_TARGET, _FOLDER_UNKNOWN, *_KEYS),
    ),
    Operation(
        handler=batches.remove_messages,
        tag=_NAME,
        parameters=("folder", *parameters.FILTERS),
        body=envelope(
            ref("MessageSelection"),
            {"some": {"messages": [samples.MESSAGE_ID]}, "folder": {"folder": "saved"}},
            required=False,
        ),
        answers={200: _DONE},
        refusals=(UNKNOWN_VMBOX, NOTHING_NAMED, _TOO_MANY, _FOLDER_UNKNOWN),
    ),
    Operation(
        handler=messages.get_message,
        tag=_NAME,
        parameters=("profile",),
        answers={200: success(ref("Message"), samples.MESSAGE, text="The message")},
        refusals=(UNKNOWN_VMBOX, UNKNOWN_MESSAGE),
    ),
    Operation(
        handler=batches.change_message,
        tag=_NAME,
        parameters=("folder", "profile"),
        body=envelope(
            ref("MessageChange"),
            {
                "file": {"folder": "saved"},
                "move": {"source_id": samples.OTHER_VMBOX_ID},
                "copy": {"source_id": [samples.OTHER_VMBOX_ID]},
            },
            required=False,
        ),
        answers={
            200: success(
                {"anyOf": [ref("Message"), ref("BatchResult")]},
                samples.FILED,
                text="Filed: the message. Moved: the new message. Copied: what came of it",
            )
        },
        refusals=(
            UNKNOWN_VMBOX,
            UNKNOWN_MESSAGE,
            _NO_TARGET,
            _FOLDER_UNKNOWN,
            _EXPIRED,
            NoAudio(),
            EditConflict(),
        ),
    ),
    Operation(
        handler=messages.remove_message,
        tag=_NAME,
        parameters=("profile",),
        answers={200: success(ref("Message"), samples.REMOVED, text="The message as it was")},
        refusals=(UNKNOWN_VMBOX, UNKNOWN_MESSAGE),
    ),
)
