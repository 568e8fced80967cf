"""Descriptions of the fields of events, by name, and the schema of an event as one object."""

from service.api.description.openapi.fields import Json

FIELDS = {
    "account_id": "Id of the account",
    "attempt": "Number of this call, from 1",
    "call_id": "Id of the call",
    "caller_id_name": "Name of the caller",
    "caller_id_number": "Number of the caller",
    "engine": "Engine of the transcription",
    "epoch": "Raised after a restore of the database; events with a higher epoch are newer",
    "from": "Address of the caller",
    "language": "Language of the message (ISO 639-1)",
    "length": "Length of the recording in milliseconds",
    "locked_for_s": "Seconds during which the box accepts no PIN",
    "mailbox": "Number of the box",
    "max_message_count": "Limit of the box",
    "media_id": "Id of the message",
    "message_count": "New and saved messages of the box",
    "messages_removed": "New and saved messages that were deleted with the box",
    "model": "Model of the engine",
    "new": "New messages of the box",
    "number": "Number to call",
    "result": "`success`, or the reason why there is no text",
    "saved": "Saved messages of the box",
    "sequence": "Number of the event in its box, without gaps",
    "text": "Text of the message",
    "timeout_s": "Seconds to wait for an answer",
    "timestamp": "Time of the message in Gregorian seconds (Unix seconds + 62 167 219 200)",
    "to": "Address of the recipient",
    "url": "Address of the deployment that serves the account now",
    "vmbox": "Document of the box, without its PIN",
    "vmbox_id": "Id of the box",
    "wrong_pins": "Wrong PINs that were checked",
}
HEADERS = {
    "ce-specversion": "Version of CloudEvents",
    "ce-id": "Id of the event; a duplicate has the same id",
    "ce-source": "Account, and box if the event concerns one",
    "ce-type": "Type of the event",
    "ce-time": "Time of the change",
    "ce-datacontenttype": "Type of the payload",
    "ce-sequence": "`sequence` with leading zeros",
    "ce-subject": "The `media_id` of the message",
    "Nats-Msg-Id": "The value of `ce-id`",
    "traceparent": "W3C trace context of the request, if it is traced",
}
TAGS = {
    "message": "Changes of messages",
    "vmbox": "Changes of boxes",
    "callback": "Calls that announce messages",
    "account": "Changes of accounts",
}


def cloud_event_schema() -> Json:
    """Returns the schema of an event in the JSON format of CloudEvents."""
    attributes = {
        name.removeprefix("ce-"): {"type": "string", "description": text}
        for name, text in HEADERS.items()
        if name.startswith("ce-")
    }
    data = {
        "type": "object",
        "additionalProperties": True,
        "description": "Data of the event, as `/asyncapi.json` describes it by type",
    }
    return {
        "type": "object",
        "description": "CloudEvents 1.0, as subscribers on NATS receive it",
        "properties": {**attributes, "data": data},
        "required": [*(name for name in attributes if name != "subject"), "data"],
    }
