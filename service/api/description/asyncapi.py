"""The AsyncAPI 3 document of the event stream, generated from the Structs of the events."""

from importlib.metadata import version
from typing import Any

import msgspec

from service.api.description.event_descriptions import FIELDS, HEADERS, TAGS
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
Events of boxes and messages on NATS JetStream. The stream `VOICEMAIL` keeps them for a week.

* Subjects are `voicemail.v1.<account_id>.<vmbox_id>.<event>`. To receive all events of an account,
  subscribe to `voicemail.v1.<account_id>.>`; to receive all new messages, subscribe to
  `voicemail.v1.*.*.message.new`.
* Messages are CloudEvents 1.0 in binary mode: the payload is the data, and the attributes are
  `ce-` headers with percent-encoded values.
* Delivery is at least once; a duplicate has the same `ce-id`. The events of a box are ordered by
  `epoch` and `sequence`, without gaps. Events of different boxes have no order. After a loss of the
  stream, older events may follow newer ones: keep the highest `epoch` and `sequence` per box.
* `counts` contains the counts after the event.
* Later versions may add fields and events. Ignore those that are unknown to you.
"""
_SERVER: Json = {
    "host": "{host}:{port}",
    "protocol": "nats",
    "description": "The NATS servers of the deployment, with JetStream",
    "variables": {
        "host": {"description": "Name of a server", "default": "localhost"},
        "port": {"description": "Port for clients", "default": "4222"},
    },
    "security": [{"$ref": "#/components/securitySchemes/nats"}],
}
_SECURITY: Json = {
    "type": "userPassword",
    "description": "As the servers require: a user and a password, a token, or a `.creds` file",
}
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"
_PARAMETERS = {
    "account_id": "Account id, 32 hex digits; `*` for all accounts",
    "vmbox_id": "Box id, 32 hex digits; `*` for all boxes",
}


def describe_events() -> Json:
    """Returns the document, with one channel per event type."""
    kinds = list(EventType)
    _, schemas = msgspec.json.schema_components(
        [DATA[kind] for kind in kinds], ref_template="#/components/schemas/{name}"
    )
    for schema in schemas.values():
        _describe(schema.get("properties", {}))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Aftertone events",
            "version": version("aftertone"),
            "description": _ABOUT,
            "contact": {"name": "The Aftertone maintainers"},
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
            "tags": [_tag(name) for name in TAGS],
        },
        "servers": {"nats": _SERVER},
        "defaultContentType": "application/json",
        "channels": {_name(kind): _channel(kind) for kind in kinds},
        "operations": {_operation_name(kind): _operation(kind) for kind in kinds},
        "components": {
            "messages": {_name(kind): _message(kind) for kind in kinds},
            "parameters": {name: {"description": text} for name, text in _PARAMETERS.items()},
            "schemas": schemas | {_headers_name(kind): _headers(kind) for kind in kinds},
            "securitySchemes": {"nats": _SECURITY},
            "tags": {name: {"name": name, "description": text} for name, text in TAGS.items()},
        },
    }


def _describe(properties: Json) -> None:
    """Adds its description to each property that has none and is not a reference."""
    for name, schema in properties.items():
        if "$ref" not in schema and "description" not in schema:
            schema["description"] = FIELDS[name]


def _name(kind: EventType) -> str:
    return DATA[kind].__name__


def _tag(name: str) -> Json:
    return {"$ref": f"#/components/tags/{name}"}


def _headers_name(kind: EventType) -> str:
    return f"{_name(kind)}Headers"


def _operation_name(kind: EventType) -> str:
    return f"publish{_name(kind)}"


def _summary(kind: EventType) -> str:
    return (DATA[kind].__doc__ or "").partition("\n")[0]


def _channel(kind: EventType) -> Json:
    parameters = ("account_id", "vmbox_id") if _has_box(kind) else ("account_id",)
    return {
        "address": _address(kind),
        "title": kind.value,
        "description": _summary(kind),
        "messages": {_name(kind): {"$ref": f"#/components/messages/{_name(kind)}"}},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in parameters},
    }


def _has_box(kind: EventType) -> bool:
    return issubclass(DATA[kind], VmboxEvent)


def _address(kind: EventType) -> str:
    box = "{vmbox_id}" if _has_box(kind) else "_"
    return f"{SUBJECT_PREFIX}.{{account_id}}.{box}.{kind}"


def _operation(kind: EventType) -> Json:
    channel = f"#/channels/{_name(kind)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": _summary(kind),
        "description": f"Subscribers receive it at least once under the subject `{_address(kind)}`",
        "security": [{"$ref": "#/components/securitySchemes/nats"}],
        "tags": [_tag(kind.partition(".")[0])],
        "messages": [{"$ref": f"{channel}/messages/{_name(kind)}"}],
    }


def _message(kind: EventType) -> Json:
    event = example_of(kind)
    headers = {f"ce-{name}": value for name, value in attributes_of(event).items()}
    example = {
        "name": kind.value,
        "summary": f"Subject {subject_of(event)}",
        "headers": {**headers, "Nats-Msg-Id": str(event.event_id)},
        "payload": msgspec.json.decode(event.data),
    }
    return {
        "name": f"voicemail.{kind}",
        "title": kind.value,
        "summary": _summary(kind),
        "description": " ".join((DATA[kind].__doc__ or "").split()),
        "contentType": "application/json",
        "headers": {"$ref": f"#/components/schemas/{_headers_name(kind)}"},
        "payload": {"$ref": f"#/components/schemas/{_name(kind)}"},
        "examples": [example],
    }


def _headers(kind: EventType) -> Json:
    """Returns the schema of the headers; only `traceparent` is optional."""
    data: type[AccountEvent] = DATA[kind]
    source = "^/accounts/[0-9a-f]{32}"
    source += "/vmboxes/[0-9a-f]{32}$" if example_of(kind).vmbox_id != NO_VMBOX else "$"
    required: dict[str, Any] = {
        "ce-specversion": {"type": "string", "const": "1.0"},
        "ce-id": {"type": "string", "format": "uuid"},
        "ce-source": {"type": "string", "pattern": source},
        "ce-type": {"type": "string", "const": f"voicemail.{kind}"},
        "ce-time": {"type": "string", "pattern": _TIME},
        "ce-datacontenttype": {"type": "string", "const": "application/json"},
        "ce-sequence": {"type": "string", "pattern": "^[0-9]{20}$"},
        "Nats-Msg-Id": {"type": "string", "format": "uuid"},
    }
    if "message" in data.__struct_fields__:
        required["ce-subject"] = {"type": "string", "pattern": "^[0-9]{6}-[0-9a-f]{32}$"}
    properties = {**required, "traceparent": {"type": "string"}}
    return {
        "type": "object",
        "description": "CloudEvents attributes, percent-encoded, and the headers of NATS",
        "properties": {
            name: {**schema, "description": HEADERS[name]} for name, schema in properties.items()
        },
        "required": list(required),
    }
