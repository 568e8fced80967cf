"""Operations of messages."""

from service.api.description.openapi.operations import Operation
from service.api.http.ranges import RangeNotSatisfiable
from service.api.mailboxes import messages
from service.api.mailboxes.openapi import samples
from service.api.mailboxes.openapi.mailboxes import UNKNOWN
from service.api.mailboxes.openapi.parts import audio, nothing, success
from service.api.mailboxes.openapi.schemas import ref
from service.domain.errors import Invalid, PreconditionFailed, Rule

TAG = {"name": "Mailbox messages", "description": "What callers left in a mailbox"}

_NAME = TAG["name"]
_ONE = ref("MailboxMessage")
_BAD_LIST = (Invalid.of("limit", Rule.WRONG_FORMAT), Invalid.of("before", Rule.NOT_FOUND))

OPERATIONS = (
    Operation(
        handler=messages.list_mailbox_messages,
        tag=_NAME,
        parameters=("limit", "before"),
        answers={200: success({"type": "array", "items": _ONE}, [samples.MESSAGE], "Newest first")},
        refusals=(UNKNOWN, *_BAD_LIST),
    ),
    Operation(
        handler=messages.get_mailbox_message,
        tag=_NAME,
        answers={200: success(_ONE, samples.MESSAGE, "The message")},
        refusals=(UNKNOWN,),
    ),
    Operation(
        handler=messages.get_mailbox_audio,
        tag=_NAME,
        parameters=("mailbox_range",),
        answers={
            200: audio("The audio, as it was stored"),
            206: audio("A range of it", "Content-Range"),
            304: nothing("The client has it: `If-None-Match` named its ETag"),
        },
        refusals=(UNKNOWN, PreconditionFailed(), RangeNotSatisfiable(50_240)),
    ),
    Operation(
        handler=messages.remove_mailbox_message,
        tag=_NAME,
        answers={204: nothing("Removed")},
        refusals=(UNKNOWN,),
    ),
)
