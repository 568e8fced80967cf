"""Operations of the trash of an account."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import vmbox_trash
from service.api.kazoo.openapi import sample_requests, samples
from service.api.kazoo.openapi.bodies import envelope, pages, success
from service.api.kazoo.openapi.messages import KEYS
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.api.kazoo.vmbox_trash import NO_VMBOXES
from service.api.kazoo.wire.vmbox_trash import VmboxBatchResponse, VmboxTrashRow
from service.domain.batch import MAX_MESSAGES
from service.domain.errors import Invalid, RestoredNumberTaken, Rule

TAG = {"name": "Deleted boxes", "description": "Deleted boxes, until they are purged"}

_BODY = {"some": {"vmboxes": [sample_requests.VMBOX_ID]}}
_BATCH = success(ref(VmboxBatchResponse), samples.VMBOX_BATCH, description="The result of each box")
_TOO_MANY = Invalid.of("vmboxes", Rule.MAX_ITEMS, target=MAX_MESSAGES, value=MAX_MESSAGES + 1)

OPERATIONS = (
    Operation(
        handler=vmbox_trash.list_vmbox_trash,
        parameters=("paginate", "page_size", "start_key", "if_none_match", "profile"),
        answers=pages(
            ref(VmboxTrashRow), samples.VMBOX_TRASH_ROW, description="A page of deleted boxes"
        ),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=vmbox_trash.restore_vmboxes,
        parameters=("idempotency_key",),
        body=envelope(ref("VmboxIds"), _BODY),
        answers={200: _BATCH},
        refusals=(NO_VMBOXES, _TOO_MANY, RestoredNumberTaken(["100"]), *KEYS),
    ),
    Operation(
        handler=vmbox_trash.purge_vmbox_trash,
        body=envelope(ref("VmboxSelection"), _BODY, required=False),
        answers={200: _BATCH},
        refusals=(NO_VMBOXES, _TOO_MANY),
    ),
)
