"""Operations of vmboxes."""

import msgspec

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import vmboxes
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import (
    DocumentResponse,
    document_links,
    envelope,
    not_modified,
    pages,
    success,
)
from service.api.kazoo.openapi.refusals import RANGE_PAST_END
from service.api.kazoo.pages import BAD_PAGE_SIZE, BAD_START_KEY
from service.api.kazoo.wire.documents import AudianVmboxRow, MwiResponse, PinResponse, VmboxRow
from service.domain.account import Quota
from service.domain.errors import (
    EditConflict,
    Invalid,
    PinLocked,
    PreconditionFailed,
    QuotaExceeded,
    Rule,
    VmboxNotFound,
)

TAG = {"name": "Boxes", "description": "Voicemail boxes and their settings"}
UNKNOWN_VMBOX = VmboxNotFound(sample_requests.OTHER_VMBOX_ID)
BAD_SIZE = Invalid.of("page_size", Rule.WRONG_FORMAT, value="0", message=BAD_PAGE_SIZE)
BAD_START = Invalid.of("start_key", Rule.WRONG_FORMAT, value="?", message=BAD_START_KEY)
BAD_LIST = (RANGE_PAST_END, BAD_SIZE, BAD_START)

_NUMBER_TAKEN = Invalid.of("mailbox", Rule.UNIQUE)
_SHORT_PIN = Invalid.of("pin", Rule.MIN_LENGTH, target=4, value="12")
_CONFLICTS = (UNKNOWN_VMBOX, EditConflict(), PreconditionFailed())


_VMBOX = DocumentResponse(
    schema="Vmbox", example=samples.VMBOX, revision=sample_requests.REVISION, headers=("ETag",)
)
_DELETED_VMBOX = msgspec.structs.replace(_VMBOX, headers=())
_NEW_VMBOX = envelope(ref("NewVmbox"), {"vmbox": sample_requests.NEW_VMBOX})
_LINKS = document_links(
    *("vmbox_id", "vmbox", "box"),
    store=("store_message", "Store a message"),
    list=("list_messages", "List its messages"),
    empty=("remove_messages", "Remove its messages"),
)

OPERATIONS = (
    Operation(
        handler=vmboxes.list_vmboxes,
        parameters=(*parameters.list_of(VmboxRow), "profile"),
        answers=pages(
            {"anyOf": [ref(VmboxRow), ref(AudianVmboxRow)]},
            samples.VMBOX_ROW,
            description="A page of boxes",
            metadata=True,
        ),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=vmboxes.create_vmbox,
        parameters=("profile",),
        body=_NEW_VMBOX,
        answers={201: _VMBOX.describe("The new box", "Location", links=_LINKS)},
        refusals=(_NUMBER_TAKEN, _SHORT_PIN, QuotaExceeded(Quota.BOXES, 100)),
    ),
    Operation(
        handler=vmboxes.get_vmbox,
        parameters=("if_match", "if_none_match"),
        answers={200: _VMBOX.describe("The box"), 304: not_modified()},
        refusals=(UNKNOWN_VMBOX, PreconditionFailed()),
    ),
    Operation(
        handler=vmboxes.replace_vmbox,
        parameters=("if_match", "profile", "dry_run"),
        body=_NEW_VMBOX,
        answers={200: _VMBOX.describe("The changed box")},
        refusals=(*_CONFLICTS, _NUMBER_TAKEN, _SHORT_PIN),
    ),
    Operation(
        handler=vmboxes.patch_vmbox,
        parameters=("if_match", "profile", "dry_run"),
        body=envelope(
            ref("VmboxChanges"), {"change": sample_requests.VMBOX_CHANGE}, required=False
        ),
        answers={200: _VMBOX.describe("The changed box")},
        refusals=(*_CONFLICTS, _NUMBER_TAKEN, _SHORT_PIN),
    ),
    Operation(
        handler=vmboxes.delete_vmbox,
        parameters=("if_match",),
        answers={200: _DELETED_VMBOX.describe("The deleted box", extras=samples.DELETED)},
        refusals=_CONFLICTS,
    ),
    Operation(
        handler=vmboxes.get_mwi,
        answers={
            200: success(ref(MwiResponse), samples.MWI, description="The message-waiting state")
        },
        refusals=(UNKNOWN_VMBOX,),
    ),
    Operation(
        handler=vmboxes.check_pin,
        body=envelope(ref("PinCheck"), {"pin": {"pin": "1234"}}),
        answers={200: success(ref(PinResponse), PinResponse(valid=True), description="The result")},
        refusals=(UNKNOWN_VMBOX, Invalid.of("pin", Rule.REQUIRED), PinLocked(wait_s=900)),
    ),
)
