"""The schemas of this dialect's objects, made of the tables that requests are checked against."""

from service.api.description.openapi.fields import (
    Json,
    request_schema,
    response_schema,
    with_properties,
)
from service.api.mailboxes.wire import FIELDS, RECIPIENT_FIELDS
from service.domain.message import Folder

UUID: Json = {"type": "string", "format": "uuid"}
MESSAGE_ID: Json = {
    "type": "string",
    "pattern": "^[0-9]{6}-?[0-9a-f]{8}(-?[0-9a-f]{4}){4}[0-9a-f]{8}$",
}
_DAY: Json = {"type": "string", "format": "date"}
_TEXT: Json = {"type": "string"}
_DATES: Json = {"uuid": UUID, "created_on": _DAY, "updated_on": _DAY}
_TEXTS = {
    "name": "The name of this mailbox",
    "password": "The 4 digits that open this mailbox on a phone",
    "beep": "Whether a beep follows the greeting",
    "greeting": "The sound that callers hear",
    "play_caller_id": "Whether the caller's id is announced with a message",
    "play_timestamp": "Whether date and time are announced with a message",
    "transcribe": "Whether messages are transcribed",
    "email": "The address",
}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> Json:
    """All of them by name."""
    return {
        "NewMailbox": _nullable(request_schema(FIELDS, _TEXTS), {"minLength": 4, "maxLength": 4}),
        "Mailbox": _mailbox(),
        "MailboxRecipient": _object({**_DATES, "email": _TEXT}),
        "NewMailboxRecipient": request_schema(RECIPIENT_FIELDS, _TEXTS),
        "MailboxMessage": _message(),
        "MailboxRefusal": envelope(
            {"type": "object", "properties": {"errors": {"type": "object"}}}, {"type": "integer"}
        ),
    }


def envelope(result: Json, status: Json) -> Json:
    """What surrounds a result."""
    return _object({"result": result, "status_code": status, "status_message": _TEXT})


def _mailbox() -> Json:
    """`updated_on` is not there when it was just made; one made elsewhere may show another PIN."""
    known = _nullable(response_schema(FIELDS, _TEXTS), {})
    dates = {**_DATES, "email_recipients": {"type": "array", "items": _object(_DATES)}}
    always = [name for name in (*FIELDS, *dates) if name != "updated_on"]
    return {**with_properties(known, dates), "required": always}


def _nullable(schema: Json, bounds: Json) -> Json:
    properties = schema["properties"]
    password = {**properties["password"], **bounds, "type": ["string", "null"]}
    greeting = {**properties["greeting"], "type": ["string", "null"]}
    return {**schema, "properties": {**properties, "password": password, "greeting": greeting}}


def _message() -> Json:
    return _object(
        {
            "uuid": MESSAGE_ID,
            "created_on": {"type": "string", "format": "date-time"},
            "caller_id_number": _TEXT,
            "caller_id_name": _TEXT,
            "duration": {"type": "integer", "minimum": 0, "description": "Seconds"},
            "folder": {"type": "string", "enum": [folder.value for folder in Folder]},
            "transcription": {"type": ["string", "null"]},
        }
    )


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}
