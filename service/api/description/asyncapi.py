"""The AsyncAPI 3 document: what subscribers of the event stream get, from the events' own types."""

from importlib.metadata import version
from typing import Any

import msgspec

from service.api.description.event_examples import example_of
from service.api.description.openapi.fields import Json
from service.domain.events import (
    DATA,
    NO_VMBOX,
    SUBJECT_PREFIX,
    AccountEvent,
    EventType,
    VmboxEvent,
    attributes_of,
    subject_of,
)

_ABOUT = """\
What happens to boxes and messages, on NATS JetStream (stream `VOICEMAIL`, kept for a week).

* Subjects are `voicemail.v1.<account_id>.<vmbox_id>.<event>`. All of an account:
  `voicemail.v1.<account_id>.>`; all new messages: `voicemail.v1.*.*.message.new`.
* Messages are CloudEvents 1.0 in binary mode: the payload is the data, attributes are `ce-`
  headers, whose values are percent-encoded.
* At least once: a duplicate has the same `ce-id`. In order per box, without gaps, by `epoch` and
  `sequence`; there is no order between boxes. After a loss of the stream older events may come
  again after newer ones: keep the highest per box.
* `counts` are those after the event: any event tells how a box stands.
* Fields may be added, and events; ignore those that you do not know.
"""
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"
_PARAMETERS = {
    "account_id": "The account, 32 hex digits; `*` for all",
    "vmbox_id": "The box, 32 hex digits; `*` for all",
}


def describe_events() -> Json:
    """The document; every event type has a channel of its own."""
    kinds = list(EventType)
    _, schemas = msgspec.json.schema_components(
        [DATA[kind] for kind in kinds], ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Aftertone events",
            "version": version("aftertone"),
            "description": _ABOUT,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "channels": {_name(kind): _channel(kind) for kind in kinds},
        "operations": {_operation_name(kind): _operation(kind) for kind in kinds},
        "components": {
            "messages": {_name(kind): _message(kind) for kind in kinds},
            "parameters": {name: {"description": text} for name, text in _PARAMETERS.items()},
            "schemas": schemas | {_headers_name(kind): _headers(kind) for kind in kinds},
        },
    }


def _name(kind: EventType) -> str:
    return DATA[kind].__name__


def _headers_name(kind: EventType) -> str:
    return f"{_name(kind)}Headers"


def _operation_name(kind: EventType) -> str:
    return f"publish{_name(kind)}"


def _about(kind: EventType) -> str:
    return (DATA[kind].__doc__ or "").partition("\n")[0]


def _channel(kind: EventType) -> Json:
    of_box = issubclass(DATA[kind], VmboxEvent)
    named = ("account_id", "vmbox_id") if of_box else ("account_id",)
    box = "{vmbox_id}" if of_box else "_"
    return {
        "address": f"{SUBJECT_PREFIX}.{{account_id}}.{box}.{kind}",
        "title": kind.value,
        "description": _about(kind),
        "messages": {_name(kind): {"$ref": f"#/components/messages/{_name(kind)}"}},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in named},
    }


def _operation(kind: EventType) -> Json:
    channel = f"#/channels/{_name(kind)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": _about(kind),
        "messages": [{"$ref": f"{channel}/messages/{_name(kind)}"}],
    }


def _message(kind: EventType) -> Json:
    event = example_of(kind)
    headers = {f"ce-{name}": value for name, value in attributes_of(event).items()}
    example = {
        "name": kind.value,
        "summary": f"On {subject_of(event)}",
        "headers": {**headers, "Nats-Msg-Id": str(event.event_id)},
        "payload": msgspec.json.decode(event.data),
    }
    return {
        "name": f"voicemail.{kind}",
        "title": kind.value,
        "summary": _about(kind),
        "contentType": "application/json",
        "headers": {"$ref": f"#/components/schemas/{_headers_name(kind)}"},
        "payload": {"$ref": f"#/components/schemas/{_name(kind)}"},
        "examples": [example],
    }


def _headers(kind: EventType) -> Json:
    """All are required but `traceparent`; a message's events name it in `ce-subject`."""
    data: type[AccountEvent] = DATA[kind]
    source = "^/accounts/[0-9a-f]{32}"
    source += "/vmboxes/[0-9a-f]{32}$" if example_of(kind).vmbox_id != NO_VMBOX else "$"
    required: dict[str, Any] = {
        "ce-specversion": {"type": "string", "const": "1.0"},
        "ce-id": {"type": "string", "format": "uuid", "description": "The same in a duplicate"},
        "ce-source": {"type": "string", "pattern": source},
        "ce-type": {"type": "string", "const": f"voicemail.{kind}"},
        "ce-time": {"type": "string", "pattern": _TIME},
        "ce-datacontenttype": {"type": "string", "const": "application/json"},
        "ce-sequence": {
            "type": "string",
            "pattern": "^[0-9]{20}$",
            "description": "`sequence` with leading zeros",
        },
        "Nats-Msg-Id": {"type": "string", "format": "uuid", "description": "`ce-id` again"},
    }
    if "message" in data.__struct_fields__:
        required["ce-subject"] = {
            "type": "string",
            "pattern": "^[0-9]{6}-[0-9a-f]{32}$",
            "description": "The `media_id` of the message",
        }
    trace = {"type": "string", "description": "W3C trace context, when there is one"}
    return {
        "type": "object",
        "properties": {**required, "traceparent": trace},
        "required": list(required),
    }
