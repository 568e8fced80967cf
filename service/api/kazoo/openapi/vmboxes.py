"""Operations of vmboxes."""

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.kazoo import mwi, vmboxes
from service.api.kazoo.openapi import parameters, samples
from service.api.kazoo.openapi.bodies import envelope, link, not_modified, pages, success
from service.api.kazoo.openapi.refusals import RANGE_BEHIND_END
from service.api.kazoo.openapi.schemas import COUNT, ref
from service.domain.errors import EditConflict, Invalid, PreconditionFailed, Rule, VmboxNotFound

TAG = {"name": "Boxes", "description": "Voicemail boxes and their settings"}
UNKNOWN_VMBOX = VmboxNotFound(samples.OTHER_VMBOX_ID)
BAD_LIST = (
    RANGE_BEHIND_END,
    Invalid.of(
        "page_size",
        Rule.WRONG_FORMAT,
        value="0",
        message="page_size must be a whole number from 1 to 1000",
    ),
    Invalid.of("start_key", Rule.WRONG_FORMAT, value="?", message="Unknown start_key"),
)

_NAME = TAG["name"]
_METADATA = (ref("Metadata"), samples.VMBOX_METADATA)
_LAMP: Json = {
    "type": "object",
    "properties": {"new": COUNT, "saved": COUNT, "waiting": {"type": "boolean"}},
    "required": ["new", "saved", "waiting"],
}
_NUMBER_TAKEN = Invalid.of("mailbox", Rule.UNIQUE)
_SHORT_PIN = Invalid.of("pin", Rule.MIN_LENGTH, target=4, value="12")
_CHANGED_MEANWHILE = (UNKNOWN_VMBOX, EditConflict(), PreconditionFailed())


def _links(vmbox_id: str) -> Json:
    """What one can do with a box."""
    targets = {
        "get": ("get_vmbox", "Read it"),
        "replace": ("replace_vmbox", "Set all its settings"),
        "patch": ("patch_vmbox", "Change some settings"),
        "delete": ("delete_vmbox", "Delete it"),
        "store": ("store_message", "Leave a message"),
        "list": ("list_messages", "List its messages"),
        "empty": ("remove_messages", "Remove its messages"),
    }
    return {
        name: link(operation, text, vmbox_id=vmbox_id)
        for name, (operation, text) in targets.items()
    }


def _one(text: str, *headers: str, links: Json | None = None) -> Json:
    return success(
        ref("Vmbox"),
        samples.VMBOX,
        text=text,
        revision=samples.REVISION,
        metadata=_METADATA,
        headers=("ETag", *headers),
        links=links,
    )


OPERATIONS = (
    Operation(
        handler=vmboxes.list_vmboxes,
        tag=_NAME,
        parameters=(*parameters.LIST, "profile"),
        answers=pages(ref("VmboxRow"), [samples.VMBOX_ROW], text="Boxes by name", metadata=True),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=vmboxes.create_vmbox,
        tag=_NAME,
        parameters=("profile",),
        body=envelope(ref("NewVmbox"), {"vmbox": samples.NEW_VMBOX}),
        answers={201: _one("Created", "Location", links=_links("$response.body#/data/id"))},
        refusals=(_NUMBER_TAKEN, _SHORT_PIN),
    ),
    Operation(
        handler=vmboxes.get_vmbox,
        tag=_NAME,
        parameters=("if_match", "if_none_match"),
        answers={200: _one("The box"), 304: not_modified()},
        refusals=(UNKNOWN_VMBOX, PreconditionFailed()),
    ),
    Operation(
        handler=vmboxes.replace_vmbox,
        tag=_NAME,
        parameters=("if_match", "profile"),
        body=envelope(ref("NewVmbox"), {"vmbox": samples.NEW_VMBOX}),
        answers={200: _one("The box as it is now")},
        refusals=(*_CHANGED_MEANWHILE, _NUMBER_TAKEN, _SHORT_PIN),
    ),
    Operation(
        handler=vmboxes.patch_vmbox,
        tag=_NAME,
        parameters=("if_match", "profile"),
        body=envelope(ref("VmboxChanges"), {"change": samples.VMBOX_CHANGE}, required=False),
        answers={200: _one("The box as it is now")},
        refusals=(*_CHANGED_MEANWHILE, _NUMBER_TAKEN, _SHORT_PIN),
    ),
    Operation(
        handler=vmboxes.delete_vmbox,
        tag=_NAME,
        parameters=("if_match",),
        answers={
            200: success(
                ref("Vmbox"),
                samples.VMBOX | samples.DELETED,
                text="The box as it was",
                revision=samples.REVISION,
                metadata=(ref("Metadata"), {**samples.VMBOX_METADATA, "deleted": True}),
            )
        },
        refusals=_CHANGED_MEANWHILE,
    ),
    Operation(
        handler=mwi.get_mwi,
        tag=_NAME,
        answers={
            200: success(
                _LAMP,
                {"new": 1, "saved": 0, "waiting": True},
                text="What its message-waiting lamp shows",
            )
        },
        refusals=(UNKNOWN_VMBOX,),
    ),
)
