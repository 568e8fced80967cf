"""Operations of messages."""

from datetime import UTC, datetime

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import batches, forwards, messages, uploads
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import envelope, link, pages, success, upload
from service.api.kazoo.openapi.refusals import STORED_BYTES_EXCEEDED, UPLOADS
from service.api.kazoo.openapi.schemas import FOLDERS
from service.api.kazoo.openapi.vmboxes import BAD_LIST, UNKNOWN_VMBOX
from service.api.kazoo.query import CORRECT_WINDOW
from service.api.kazoo.wire.forwards import ForwardResponse
from service.api.kazoo.wire.messages import (
    BatchResponse,
    MessageFields,
    MessageMetadata,
    StoredMessage,
)
from service.api.kazoo.wire.searches import MatchedRow
from service.api.kazoo.wire.uploads import UploadResponse
from service.domain.audio_errors import (
    AudioTooLarge,
    CommentUnreadable,
    DirectUploadUnavailable,
    NoAudio,
    UploadMismatch,
    UploadMissing,
    UploadTokenInvalid,
)
from service.domain.batch import MAX_MESSAGES
from service.domain.errors import (
    EditConflict,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    Invalid,
    MessageExpired,
    MessageNotFound,
    Rule,
    StorageUnavailable,
    TooManyPending,
    VmboxFull,
)
from service.domain.formats import SHA256
from service.domain.message import MAX_PENDING_PER_VMBOX
from service.domain.search import QUERY_TOO_LONG

TAG = {"name": "Messages", "description": "Messages in boxes: single messages, lists and batches"}
UNKNOWN_MESSAGE = MessageNotFound(sample_requests.UNKNOWN_MESSAGE_ID)
NO_MESSAGES = Invalid.of("messages", Rule.REQUIRED)

KEYS = (IdempotencyKeyInUse(), IdempotencyKeyReused())
_UNKNOWN_FOLDER = Invalid.of("folder", Rule.ENUM, target=FOLDERS, value="inbox")
_NO_TARGET = Invalid.of("source_id", Rule.REQUIRED)
TOO_MANY = Invalid.of("messages", Rule.MAX_ITEMS, target=MAX_MESSAGES, value=MAX_MESSAGES + 1)
COMMENT_NOT_ALLOWED = Invalid.of(
    "prepend", Rule.NOT_ALLOWED, message="Omit the comment, or allow it by vm_message_forward_type"
)
_EXPIRED = MessageExpired(sample_requests.MESSAGE_ID, datetime(2024, 2, 12, tzinfo=UTC))
_BAD_WINDOW = Invalid.of(
    "created_from",
    Rule.DATE_RANGE,
    value=sample_requests.CREATED_FROM,
    message=f"created_to {sample_requests.CREATED_FROM - 1} is prior to "
    f"created_from {sample_requests.CREATED_FROM}; {CORRECT_WINDOW}",
)
_LIST = (
    "q",
    *parameters.PAGES,
    *parameters.CREATED,
    "filter_folder",
    "folder",
    *parameters.filters_of(MessageFields),
    "profile",
)
_LONG_QUERY = Invalid.of("q", Rule.MAX_LENGTH, value="call", message=QUERY_TOO_LONG)
_LIST_REFUSALS = (*BAD_LIST, _BAD_WINDOW, _UNKNOWN_FOLDER, _LONG_QUERY)


def _links() -> Json:
    """Links from a stored message."""
    targets = {
        "get": ("get_message", "Get the message"),
        "change": ("change_message", "Change its folder, move or copy it"),
        "remove": ("remove_message", "Remove the message"),
        "listen": ("get_audio", "Download its audio"),
        "attach": ("put_audio", "Upload its audio"),
    }
    return {
        name: link(
            operation,
            description,
            vmbox_id="$request.path.vmbox_id",
            message_id="$response.body#/data/media_id",
        )
        for name, (operation, description) in targets.items()
    }


BATCH = success(ref(BatchResponse), samples.BATCH, description="The result of each message")
_CHANGES: dict[str, Json] = {
    "folder": {"folder": "saved", "messages": [sample_requests.MESSAGE_ID]},
    "move": {"source_id": sample_requests.OTHER_VMBOX_ID, "messages": [sample_requests.MESSAGE_ID]},
    "copy": {
        "source_id": [sample_requests.OTHER_VMBOX_ID],
        "messages": [sample_requests.MESSAGE_ID],
    },
}

OPERATIONS = (
    Operation(
        handler=messages.list_account_messages,
        parameters=_LIST,
        answers=pages(
            {
                "type": "object",
                "additionalProperties": ref(MatchedRow),
                "minProperties": 1,
                "maxProperties": 1,
            },
            {sample_requests.VMBOX_ID: samples.MATCHED_ROW},
            description="A page of messages, each under the id of its box",
        ),
        refusals=_LIST_REFUSALS,
    ),
    Operation(
        handler=messages.list_messages,
        parameters=_LIST,
        answers=pages(ref(MatchedRow), samples.MATCHED_ROW, description="A page of messages"),
        refusals=(*_LIST_REFUSALS, UNKNOWN_VMBOX),
    ),
    Operation(
        handler=messages.store_message,
        parameters=("idempotency_key", "filename", "profile"),
        body=upload(ref("NewMessage"), {"message": sample_requests.NEW_MESSAGE}, json_alone=True),
        answers={
            201: success(
                ref(StoredMessage),
                samples.PENDING,
                description="The stored message",
                headers=("Location",),
                links=_links(),
            )
        },
        refusals=(
            UNKNOWN_VMBOX,
            _UNKNOWN_FOLDER,
            VmboxFull(100, 100),
            TooManyPending(MAX_PENDING_PER_VMBOX),
            UploadTokenInvalid(),
            UploadMissing(),
            UploadMismatch("sha256"),
            *KEYS,
            *UPLOADS,
        ),
    ),
    Operation(
        handler=uploads.announce_upload,
        parameters=("idempotency_key", "profile"),
        body=envelope(ref("NewUpload"), {"upload": sample_requests.NEW_UPLOAD}),
        answers={
            201: success(ref(UploadResponse), samples.UPLOAD, description="The announced upload")
        },
        refusals=(
            UNKNOWN_VMBOX,
            _UNKNOWN_FOLDER,
            Invalid.of("sha256", Rule.WRONG_FORMAT, target=SHA256.name, value="abc"),
            DirectUploadUnavailable(),
            UploadTokenInvalid(),
            AudioTooLarge(50_000_000),
            STORED_BYTES_EXCEEDED,
            StorageUnavailable(),
            *KEYS,
        ),
    ),
    Operation(
        handler=batches.change_messages,
        parameters=("folder", "idempotency_key"),
        body=envelope(ref("MessageChanges"), _CHANGES),
        answers={200: BATCH},
        refusals=(
            UNKNOWN_VMBOX,
            NO_MESSAGES,
            TOO_MANY,
            _NO_TARGET,
            _UNKNOWN_FOLDER,
            STORED_BYTES_EXCEEDED,
            *KEYS,
        ),
    ),
    Operation(
        handler=batches.remove_messages,
        parameters=("folder", *parameters.filters_of(MessageFields)),
        body=envelope(
            ref("MessageSelection"),
            {"some": {"messages": [sample_requests.MESSAGE_ID]}, "folder": {"folder": "saved"}},
            required=False,
        ),
        answers={200: BATCH},
        refusals=(UNKNOWN_VMBOX, NO_MESSAGES, TOO_MANY, _UNKNOWN_FOLDER),
    ),
    Operation(
        handler=messages.get_message,
        parameters=("profile",),
        answers={200: success(ref(MessageMetadata), samples.MESSAGE, description="The message")},
        refusals=(UNKNOWN_VMBOX, UNKNOWN_MESSAGE),
    ),
    Operation(
        handler=batches.change_message,
        parameters=("folder", "profile"),
        body=envelope(
            ref("MessageChange"),
            {
                "folder": {"folder": "saved"},
                "move": {"source_id": sample_requests.OTHER_VMBOX_ID},
                "copy": {"source_id": [sample_requests.OTHER_VMBOX_ID]},
            },
            required=False,
        ),
        answers={
            200: success(
                {"anyOf": [ref(MessageMetadata), ref(BatchResponse)]},
                samples.SAVED,
                description="The message, or after a move the new message, or the result of copies",
            )
        },
        refusals=(
            UNKNOWN_VMBOX,
            UNKNOWN_MESSAGE,
            _NO_TARGET,
            _UNKNOWN_FOLDER,
            _EXPIRED,
            NoAudio(),
            EditConflict(),
            STORED_BYTES_EXCEEDED,
        ),
    ),
    Operation(
        handler=forwards.forward_message,
        parameters=("idempotency_key", "filename"),
        body=upload(
            ref("NewForward"),
            {
                "greeting": sample_requests.NEW_FORWARD,
                "without": {"source_id": [sample_requests.OTHER_VMBOX_ID]},
            },
            json_alone=True,
            audio_alone=False,
        ),
        answers={
            200: success(
                ref(ForwardResponse), samples.FORWARDED, description="The result of each box"
            )
        },
        refusals=(
            UNKNOWN_VMBOX,
            UNKNOWN_MESSAGE,
            Invalid.of("source_id", Rule.REQUIRED),
            COMMENT_NOT_ALLOWED,
            _EXPIRED,
            NoAudio(),
            CommentUnreadable(),
            *KEYS,
            *UPLOADS,
        ),
    ),
    Operation(
        handler=messages.remove_message,
        parameters=("profile",),
        answers={
            200: success(ref(MessageMetadata), samples.REMOVED, description="The removed message")
        },
        refusals=(UNKNOWN_VMBOX, UNKNOWN_MESSAGE),
    ),
)
