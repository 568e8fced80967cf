"""Operations of recipients."""

from service.api.description.openapi.operations import Operation
from service.api.mailboxes import recipients
from service.api.mailboxes.openapi import samples
from service.api.mailboxes.openapi.mailboxes import UNKNOWN
from service.api.mailboxes.openapi.parts import body, nothing, success
from service.api.mailboxes.openapi.schemas import ref
from service.domain.errors import EditConflict, Invalid, Rule

TAG = {"name": "Mailbox recipients", "description": "Whom a mailbox mails to"}

_NAME = TAG["name"]
_ONE = ref("MailboxRecipient")

OPERATIONS = (
    Operation(
        handler=recipients.list_recipients,
        tag=_NAME,
        answers={
            200: success({"type": "array", "items": _ONE}, [samples.RECIPIENT], "In their order")
        },
        refusals=(UNKNOWN,),
    ),
    Operation(
        handler=recipients.add_recipient,
        tag=_NAME,
        body=body(ref("NewMailboxRecipient"), samples.NEW_RECIPIENT),
        answers={
            200: success(_ONE, samples.RECIPIENT, "There already"),
            201: success(_ONE, samples.RECIPIENT, "Created", "Location", status=201),
        },
        refusals=(UNKNOWN, Invalid.of("email", Rule.WRONG_FORMAT), EditConflict()),
    ),
    Operation(
        handler=recipients.remove_recipient,
        tag=_NAME,
        answers={204: nothing("Removed")},
        refusals=(UNKNOWN, EditConflict()),
    ),
)
