"""Component schemas: requests from their field tables, responses from their Structs."""

from service.api.description.openapi.fields import Json, request_schema, with_properties
from service.api.description.openapi.structs import ref, struct_schemas
from service.api.mailboxes import wire
from service.api.mailboxes.envelope import FieldErrors, MailboxEnvelope

_TEXTS = {
    "name": "Name of the mailbox",
    "password": "PIN of 4 digits for access by telephone",
    "beep": "True to play a beep after the greeting",
    "greeting": "Id of the sound that callers hear before the beep",
    "play_caller_id": "True to announce the caller id of each message",
    "play_timestamp": "True to announce the date and time of each message",
    "transcribe": "True to transcribe messages",
    "email": "E-mail address",
    "email_recipients": "Recipients without their addresses",
    "created_on": "Date of creation; for a message, its time",
    "updated_on": "Date of the last change",
    "caller_id_number": "Number of the caller",
    "caller_id_name": "Name of the caller",
    "duration": "Length in seconds",
    "media": "Facts about the audio",
    "transcription": "Text of the message, if it was transcribed",
}
FAILURE = "MailboxFailure"
_RESPONSES = (wire.Mailbox, wire.MailboxRecipient, wire.MailboxMessage, FieldErrors)
_ENVELOPE = struct_schemas([MailboxEnvelope], {})[MailboxEnvelope.__name__]


def schemas() -> Json:
    """Returns all component schemas by name."""
    return {
        "NewMailbox": request_schema(wire.FIELDS, _TEXTS),
        "NewMailboxRecipient": request_schema(wire.RECIPIENT_FIELDS, _TEXTS),
        **struct_schemas(_RESPONSES, _TEXTS),
        FAILURE: with_properties(_ENVELOPE, {"result": ref(FieldErrors)}),
    }


def envelope_schema(result: Json, status: int) -> Json:
    return with_properties(_ENVELOPE, {"result": result, "status_code": {"const": status}})
