"""The schemas of this dialect's documents, from their field tables."""

from service.api.description.openapi.fields import (
    Json,
    patch_schema,
    request_schema,
    response_schema,
    with_properties,
)
from service.api.kazoo.openapi import texts
from service.api.kazoo.wire import AUDIAN_ROW, GREETING_ROW, MESSAGE_FIELDS, WEBHOOK_ROW
from service.domain.batch import MAX_MESSAGES, MAX_TARGETS
from service.domain.greeting import FIELDS as GREETING_FIELDS
from service.domain.message import Folder
from service.domain.vmbox import FIELDS as VMBOX_FIELDS
from service.domain.webhook import FIELDS as WEBHOOK_FIELDS
from service.domain.webhook import DisableReason

HEX_ID: Json = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
MESSAGE_ID: Json = {"type": "string", "pattern": "^[0-9]{4}(0[1-9]|1[0-2])-[0-9a-f]{32}$"}
COUNT: Json = {"type": "integer", "minimum": 0}
FOLDERS = [folder.value for folder in Folder]
TEXT: Json = {"type": "string"}
DELETED: Json = {
    "_read_only": {
        "type": "object",
        "properties": {"deleted": {"const": True}},
        "description": "Of what was just deleted",
    }
}
_MOMENT: Json = {
    "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}],
    "description": "Gregorian seconds; ISO-8601 in the `audian` profile",
}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> Json:
    """All of them by name."""
    return {
        **_vmboxes(),
        **_greetings(),
        **_webhooks(),
        **_messages(),
        **_batches(),
    }


def _vmboxes() -> Json:
    vmbox = response_schema(VMBOX_FIELDS, texts.VMBOX)
    return {
        "NewVmbox": {
            **request_schema(VMBOX_FIELDS, texts.VMBOX),
            "description": "The settings of a box. Unknown keys are kept.",
        },
        "VmboxChanges": {
            **patch_schema(VMBOX_FIELDS, texts.VMBOX),
            "description": "Some settings of a box: objects merge, null deletes at any depth.",
        },
        "Vmbox": with_properties(vmbox, DELETED | {"id": HEX_ID}, ["id"]),
        "VmboxRow": _vmbox_row(vmbox["properties"]),
    }


def _vmbox_row(properties: Json) -> Json:
    names = (*AUDIAN_ROW, "flags")
    counts = {
        "type": "object",
        "properties": {"new": COUNT, "saved": COUNT},
        "required": ["new", "saved"],
    }
    return {
        "type": "object",
        "description": "A box in a list. `flags`, `messages` and `folders` are there in the "
        "`kazoo` profile, `timezone`, `pin` and `require_pin` in the `audian` profile.",
        "properties": {
            "id": HEX_ID,
            **{name: properties[name] for name in names},
            "messages": {**COUNT, "description": "New and saved messages"},
            "folders": counts,
        },
        "required": ["id", "name", "mailbox"],
    }


def _greetings() -> Json:
    of_audio = {
        "content_type": {**TEXT, "description": "Of its audio, once it has some"},
        "content_length": {**COUNT, "description": "Of its audio, in bytes"},
    }
    greeting = with_properties(
        response_schema(GREETING_FIELDS, texts.GREETING),
        DELETED | {"id": HEX_ID, **of_audio},
        ["id"],
    )
    return {
        "NewGreeting": request_schema(GREETING_FIELDS, texts.GREETING),
        "GreetingChanges": patch_schema(GREETING_FIELDS, texts.GREETING),
        "Greeting": greeting,
        "GreetingRow": {
            "type": "object",
            "properties": {name: greeting["properties"][name] for name in GREETING_ROW},
            "required": ["id", "name"],
        },
    }


def _webhooks() -> Json:
    disabled = {
        "disable_reason": {
            "enum": [reason.value for reason in DisableReason],
            "description": "Why the service disabled it, if it did",
        }
    }
    webhook = with_properties(
        response_schema(WEBHOOK_FIELDS, texts.WEBHOOK), DELETED | {"id": HEX_ID} | disabled, ["id"]
    )
    secret = {"secret": {**TEXT, "pattern": "^whsec_[A-Za-z0-9+/]+=*$"}}
    properties = webhook["properties"]
    row = {name: properties[name] for name in (*WEBHOOK_ROW, "disable_reason")}
    return {
        "NewWebhook": _with_texts(request_schema(WEBHOOK_FIELDS, texts.WEBHOOK), TEXT),
        "WebhookChanges": _with_texts(
            patch_schema(WEBHOOK_FIELDS, texts.WEBHOOK), {"type": ["string", "null"]}
        ),
        "Webhook": _with_texts(webhook, TEXT),
        "NewlyMadeWebhook": _with_texts(with_properties(webhook, secret, ["secret"]), TEXT),
        "WebhookRow": {
            "type": "object",
            "properties": {"id": HEX_ID, **row},
            "required": ["id", *WEBHOOK_ROW],
        },
        "WebhookAttempt": _attempt(),
    }


def _with_texts(webhook: Json, text: Json) -> Json:
    """`custom_data` as an object of texts."""
    custom = {**webhook["properties"]["custom_data"], "additionalProperties": text}
    return {**webhook, "properties": {**webhook["properties"], "custom_data": custom}}


def _attempt() -> Json:
    properties: Json = {
        "id": HEX_ID,
        "event_id": {**TEXT, "format": "uuid"},
        "hook": {**TEXT, "description": "The event; `webhook.ping` for a test"},
        "attempt": {**COUNT, "minimum": 1},
        "timestamp": {**COUNT, "description": "Gregorian seconds"},
        "status": {"enum": ["success", "failure"]},
        "duration_ms": COUNT,
    }
    more = {
        "response_code": {**COUNT, "description": "If there was an answer"},
        "error": {**TEXT, "description": "If it failed"},
    }
    return {
        "type": "object",
        "properties": properties | more,
        "required": [*properties],
    }


def _messages() -> Json:
    new = request_schema(MESSAGE_FIELDS, texts.MESSAGE)
    timestamp = {
        "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}],
        "description": texts.MESSAGE["timestamp"],
    }
    row = with_properties(
        response_schema(MESSAGE_FIELDS, texts.MESSAGE),
        {
            "timestamp": _MOMENT,
            "media_id": MESSAGE_ID,
            "transcribed": {"type": "boolean"},
            "retention": {"const": "enforced", "description": "The message is past retention"},
            "retention_message": TEXT,
        },
        [*MESSAGE_FIELDS, "media_id"],
    )
    halves = [f"{end}_{half}" for end in ("from", "to") for half in ("user", "realm")]
    transcription = {"type": "object", "properties": {"result": TEXT, "text": TEXT}}
    message = with_properties(
        row, {**dict.fromkeys(halves, TEXT), "transcription": transcription}, halves
    )
    del message["properties"]["transcribed"]
    return {
        "NewMessage": with_properties(new, {"timestamp": timestamp}),
        "MessageRow": row,
        "Message": message,
        "StoredMessage": with_properties(
            message,
            {"id": MESSAGE_ID, "metadata": ref("Message")},
        )
        | {
            "description": "`id` and `metadata` repeat what stands beside them. They are there "
            "when the message was stored without audio.",
        },
    }


def _batches() -> Json:
    ids = {"type": "array", "items": TEXT, "maxItems": MAX_MESSAGES}
    folder = {"enum": FOLDERS, "description": "`saved` when neither body nor query names one"}
    change = {
        "type": "object",
        "properties": {
            "folder": {"type": "string", **folder},
            "source_id": {
                "description": "A box id: move there. A list of them: copy there. "
                "Wins over `folder`.",
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {
                        "type": "array",
                        "items": {"type": "string", "minLength": 1},
                        "minItems": 1,
                        "maxItems": MAX_TARGETS,
                    },
                ],
            },
        },
    }
    selection = {
        "type": "object",
        "properties": {"messages": ids, "folder": {"type": "string", "enum": FOLDERS}},
    }
    return {
        "MessageIds": {
            "type": "object",
            "properties": {"messages": {**ids, "minItems": 1}},
            "required": ["messages"],
        },
        "MessageChange": change,
        "MessageChanges": with_properties(
            change, {"messages": {**ids, "minItems": 1}}, ["messages"]
        ),
        "MessageSelection": selection,
        "BatchResult": {
            "type": "object",
            "properties": {
                "succeeded": {"type": "array", "items": MESSAGE_ID},
                "failed": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": TEXT,
                        "minProperties": 1,
                        "maxProperties": 1,
                    },
                    "description": "One object for each id: the id and the reason",
                },
            },
            "required": ["succeeded", "failed"],
        },
    }
