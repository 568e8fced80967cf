"""Operations of this dialect."""

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.http.ranges import RangeNotSatisfiable
from service.api.mailboxes import mailboxes, messages, recipients, routes
from service.api.mailboxes.openapi import samples
from service.api.mailboxes.openapi.parts import audio, no_content, request_body, success
from service.domain.audio_errors import AudioUnreadable, ConversionUnavailable, FormatNotAcceptable
from service.domain.errors import (
    EditConflict,
    Invalid,
    MailboxNumbersExhausted,
    PreconditionFailed,
    Rule,
    TooManyConversions,
    VmboxNotFound,
)

_MAILBOXES, _MESSAGES, _RECIPIENTS = "Mailboxes", "Mailbox messages", "Mailbox recipients"
TAGS: list[Json] = [
    {"name": _MAILBOXES, "description": "Voicemail boxes of a reseller's account"},
    {"name": _MESSAGES, "description": "Messages in a mailbox"},
    {"name": _RECIPIENTS, "description": "E-mail recipients of a mailbox"},
]

_NOT_FOUND = VmboxNotFound()
_INVALID = (Invalid.of("name", Rule.REQUIRED), Invalid.of("media.unavailable", Rule.NOT_FOUND))
_SETTINGS = request_body("NewMailbox", samples.NEW_MAILBOX)

OPERATIONS = (
    Operation(
        handler=mailboxes.list_mailboxes,
        tag=_MAILBOXES,
        answers={200: success([samples.MAILBOX], "The mailboxes, by name")},
    ),
    Operation(
        handler=mailboxes.create_mailbox,
        tag=_MAILBOXES,
        body=_SETTINGS,
        answers={201: success(samples.CREATED_MAILBOX, "The new mailbox", "Location", status=201)},
        refusals=(*_INVALID, MailboxNumbersExhausted()),
    ),
    Operation(
        handler=mailboxes.get_mailbox,
        tag=_MAILBOXES,
        answers={200: success(samples.MAILBOX, "The mailbox")},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=mailboxes.replace_mailbox,
        tag=_MAILBOXES,
        body=_SETTINGS,
        answers={200: success(samples.MAILBOX, "The mailbox after the change")},
        refusals=(_NOT_FOUND, *_INVALID, EditConflict()),
    ),
    Operation(
        handler=mailboxes.delete_mailbox,
        tag=_MAILBOXES,
        answers={204: no_content("The mailbox is deleted")},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=routes.check_credentials,
        tag=_MAILBOXES,
        answers={200: success({}, "The credentials are valid")},
    ),
    Operation(
        handler=messages.list_mailbox_messages,
        tag=_MESSAGES,
        parameters=("limit", "before"),
        answers={200: success([samples.MESSAGE], "The messages, newest first")},
        refusals=(
            _NOT_FOUND,
            Invalid.of("limit", Rule.WRONG_FORMAT),
            Invalid.of("before", Rule.NOT_FOUND),
        ),
    ),
    Operation(
        handler=messages.get_mailbox_message,
        tag=_MESSAGES,
        answers={200: success(samples.MESSAGE, "The message")},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=messages.get_mailbox_audio,
        tag=_MESSAGES,
        parameters=("mailbox_range", "mailbox_format"),
        answers={
            200: audio("The complete audio"),
            206: audio("The requested range of the audio", "Content-Range"),
            304: no_content("The audio has the ETag in `If-None-Match`"),
        },
        refusals=(
            _NOT_FOUND,
            PreconditionFailed(),
            RangeNotSatisfiable(50_240),
            Invalid.of("format", Rule.ENUM),
            FormatNotAcceptable("audio/x-wav"),
            AudioUnreadable(),
            ConversionUnavailable(),
            TooManyConversions(),
        ),
    ),
    Operation(
        handler=messages.remove_mailbox_message,
        tag=_MESSAGES,
        answers={204: no_content("The message is removed")},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=recipients.list_recipients,
        tag=_RECIPIENTS,
        answers={200: success([samples.RECIPIENT], "The recipients, in the order of the list")},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=recipients.add_recipient,
        tag=_RECIPIENTS,
        body=request_body("NewMailboxRecipient", samples.NEW_RECIPIENT),
        answers={
            200: success(samples.RECIPIENT, "The recipient, which already existed"),
            201: success(samples.RECIPIENT, "The new recipient", "Location", status=201),
        },
        refusals=(_NOT_FOUND, Invalid.of("email", Rule.WRONG_FORMAT), EditConflict()),
    ),
    Operation(
        handler=recipients.remove_recipient,
        tag=_RECIPIENTS,
        answers={204: no_content("The recipient is removed")},
        refusals=(_NOT_FOUND, EditConflict()),
    ),
)
