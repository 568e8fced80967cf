"""Operations of mailboxes."""

from service.api.description.openapi.operations import Operation
from service.api.mailboxes import mailboxes, routes
from service.api.mailboxes.openapi import samples
from service.api.mailboxes.openapi.parts import body, nothing, success
from service.api.mailboxes.openapi.schemas import ref
from service.domain.errors import (
    EditConflict,
    Invalid,
    MailboxNumbersExhausted,
    Rule,
    VmboxNotFound,
)

TAG = {"name": "Mailboxes", "description": "Boxes as a reseller sees them"}

_NAME = TAG["name"]
UNKNOWN = VmboxNotFound()
_BROKEN = (Invalid.of("name", Rule.REQUIRED), Invalid.of("media.unavailable", Rule.NOT_FOUND))
_NEW = body(ref("NewMailbox"), samples.NEW_MAILBOX)
_ONE = ref("Mailbox")

OPERATIONS = (
    Operation(
        handler=mailboxes.list_mailboxes,
        tag=_NAME,
        answers={200: success({"type": "array", "items": _ONE}, [samples.MAILBOX], "By name")},
    ),
    Operation(
        handler=mailboxes.create_mailbox,
        tag=_NAME,
        body=_NEW,
        answers={201: success(_ONE, samples.CREATED, "Created", "Location", status=201)},
        refusals=(*_BROKEN, MailboxNumbersExhausted()),
    ),
    Operation(
        handler=mailboxes.get_mailbox,
        tag=_NAME,
        answers={200: success(_ONE, samples.MAILBOX, "The mailbox")},
        refusals=(UNKNOWN,),
    ),
    Operation(
        handler=mailboxes.replace_mailbox,
        tag=_NAME,
        body=_NEW,
        answers={200: success(_ONE, samples.MAILBOX, "The mailbox as it is now")},
        refusals=(UNKNOWN, *_BROKEN, EditConflict()),
    ),
    Operation(
        handler=mailboxes.delete_mailbox,
        tag=_NAME,
        answers={204: nothing("Deleted")},
        refusals=(UNKNOWN,),
    ),
    Operation(
        handler=routes.check_credentials,
        tag=_NAME,
        answers={200: success({"type": "object"}, {}, "They are good")},
    ),
)
