"""Operations of the trash."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import trash
from service.api.kazoo.openapi import sample_requests, samples
from service.api.kazoo.openapi.bodies import envelope, pages
from service.api.kazoo.openapi.messages import BATCH, KEYS, NO_MESSAGES, TOO_MANY
from service.api.kazoo.openapi.vmboxes import BAD_LIST, UNKNOWN_VMBOX
from service.api.kazoo.wire.messages import TrashRow

TAG = {"name": "Trash", "description": "Removed messages, until they are purged"}

_BODY = {"some": {"messages": [sample_requests.MESSAGE_ID]}}

OPERATIONS = (
    Operation(
        handler=trash.list_trash,
        parameters=("paginate", "page_size", "start_key", "if_none_match", "profile"),
        answers=pages(ref(TrashRow), samples.TRASH_ROW, description="A page of removed messages"),
        refusals=(*BAD_LIST, UNKNOWN_VMBOX),
    ),
    Operation(
        handler=trash.restore_messages,
        parameters=("idempotency_key",),
        body=envelope(ref("MessageIds"), _BODY),
        answers={200: BATCH},
        refusals=(UNKNOWN_VMBOX, NO_MESSAGES, TOO_MANY, *KEYS),
    ),
    Operation(
        handler=trash.purge_trash,
        body=envelope(ref("MessageIds"), _BODY, required=False),
        answers={200: BATCH},
        refusals=(UNKNOWN_VMBOX, NO_MESSAGES, TOO_MANY),
    ),
)
