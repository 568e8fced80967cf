"""The schemas of this dialect: its documents from their field tables, and the envelope."""

from service.api.kazoo.openapi import texts
from service.api.kazoo.sessions import API_KEY_FIELDS, CREDENTIAL_FIELDS
from service.api.kazoo.wire import MESSAGE_FIELDS
from service.api.openapi.fields import Json, answered, changes, taken, taken_with_nulls, with_more
from service.domain.account import FIELDS as ACCOUNT_FIELDS
from service.domain.batch import MAX_MESSAGES, MAX_TARGETS
from service.domain.message import Folder
from service.domain.user import FIELDS as USER_FIELDS
from service.domain.vmbox import FIELDS as VMBOX_FIELDS

HEX_ID: Json = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
MESSAGE_ID: Json = {"type": "string", "pattern": "^[0-9]{4}(0[1-9]|1[0-2])-[0-9a-f]{32}$"}
COUNT: Json = {"type": "integer", "minimum": 0}
FOLDERS = [folder.value for folder in Folder]
_TEXT: Json = {"type": "string"}
_DELETED: Json = {
    "_read_only": {
        "type": "object",
        "properties": {"deleted": {"const": True}},
        "description": "Of what was just deleted",
    }
}
_SECONDS: Json = {"type": "integer", "description": "Gregorian seconds"}
_MOMENT: Json = {
    "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}],
    "description": "Gregorian seconds; ISO-8601 in the `audian` profile",
}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> Json:
    """All of them by name."""
    return {
        **_sessions(),
        **_accounts(),
        **_users(),
        **_vmboxes(),
        **_messages(),
        **_batches(),
        **_envelopes(),
    }


def _accounts() -> Json:
    return {
        "NewAccount": taken_with_nulls(ACCOUNT_FIELDS, texts.ACCOUNT),
        "AccountChanges": changes(ACCOUNT_FIELDS, texts.ACCOUNT),
        "Account": with_more(
            answered(ACCOUNT_FIELDS, texts.ACCOUNT), _DELETED | {"id": HEX_ID}, ["id"]
        ),
        "AccountRow": {
            "type": "object",
            "properties": {"id": HEX_ID, "name": _TEXT, "realm": _TEXT},
            "required": ["id", "name", "realm"],
        },
    }


def _users() -> Json:
    shown = {name: field for name, field in USER_FIELDS.items() if name != "password"}
    user = with_more(answered(shown, texts.USER), _DELETED | {"id": HEX_ID}, ["id"])
    new = taken_with_nulls(USER_FIELDS, texts.USER)
    new["properties"]["password"]["writeOnly"] = True
    changed = changes(USER_FIELDS, texts.USER)
    changed["properties"]["password"]["writeOnly"] = True
    row = ("username", "first_name", "last_name", "email", "timezone")
    return {
        "NewUser": new,
        "UserChanges": changed,
        "User": user,
        "UserRow": {
            "type": "object",
            "properties": {"id": HEX_ID, **{name: user["properties"][name] for name in row}},
            "required": ["id", "username"],
        },
    }


def _sessions() -> Json:
    who = {
        "account_id": HEX_ID,
        "account_name": _TEXT,
        "language": _TEXT,
        "is_reseller": {"type": "boolean"},
        "reseller_id": HEX_ID,
        "is_master_account": {"type": "boolean"},
        "cluster_id": HEX_ID,
        "apps": {"type": "array"},
        "capabilities": {"type": "object"},
        "ui_config": {"type": "object"},
    }
    named = ("account_name", "account_realm", "realm", "phone_number")
    return {
        "ApiKey": {**taken(API_KEY_FIELDS, {}), "additionalProperties": False},
        "Credentials": {
            **taken(CREDENTIAL_FIELDS, texts.CREDENTIALS),
            "anyOf": [{"required": [name]} for name in named],
        },
        "SignedIn": {
            "type": "object",
            "properties": {**who, "owner_id": {**HEX_ID, "description": "The user"}},
            "required": [*who],
        },
    }


def _vmboxes() -> Json:
    vmbox = answered(VMBOX_FIELDS, texts.VMBOX)
    return {
        "NewVmbox": {
            **taken(VMBOX_FIELDS, texts.VMBOX),
            "description": "The settings of a box. Unknown keys are kept.",
        },
        "VmboxChanges": {
            **changes(VMBOX_FIELDS, texts.VMBOX),
            "description": "Some settings of a box: objects merge, null deletes at any depth.",
        },
        "Vmbox": with_more(vmbox, _DELETED | {"id": HEX_ID}, ["id"]),
        "VmboxRow": _vmbox_row(vmbox["properties"]),
    }


def _vmbox_row(properties: Json) -> Json:
    names = ("name", "mailbox", "owner_id", "flags", "timezone", "pin", "require_pin")
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


def _messages() -> Json:
    new = taken(MESSAGE_FIELDS, texts.MESSAGE)
    timestamp = {
        "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}],
        "description": texts.MESSAGE["timestamp"],
    }
    row = with_more(
        answered(MESSAGE_FIELDS, texts.MESSAGE),
        {
            "timestamp": _MOMENT,
            "media_id": MESSAGE_ID,
            "transcribed": {"type": "boolean"},
            "retention": {"const": "enforced", "description": "The message is past retention"},
            "retention_message": _TEXT,
        },
        [*MESSAGE_FIELDS, "media_id"],
    )
    halves = [f"{end}_{half}" for end in ("from", "to") for half in ("user", "realm")]
    transcription = {"type": "object", "properties": {"result": _TEXT, "text": _TEXT}}
    message = with_more(
        row, {**dict.fromkeys(halves, _TEXT), "transcription": transcription}, halves
    )
    del message["properties"]["transcribed"]
    return {
        "NewMessage": with_more(new, {"timestamp": timestamp}),
        "MessageRow": row,
        "Message": message,
        "StoredMessage": with_more(
            message,
            {"id": MESSAGE_ID, "metadata": ref("Message")},
        )
        | {
            "description": "`id` and `metadata` repeat what stands beside them. They are there "
            "when the message was stored without audio.",
        },
    }


def _batches() -> Json:
    ids = {"type": "array", "items": _TEXT, "maxItems": MAX_MESSAGES}
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
        "MessageChanges": with_more(change, {"messages": {**ids, "minItems": 1}}, ["messages"]),
        "MessageSelection": selection,
        "BatchResult": {
            "type": "object",
            "properties": {
                "succeeded": {"type": "array", "items": MESSAGE_ID},
                "failed": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": _TEXT,
                        "minProperties": 1,
                        "maxProperties": 1,
                    },
                    "description": "One object for each id: the id and the reason",
                },
            },
            "required": ["succeeded", "failed"],
        },
    }


def _envelopes() -> Json:
    frame = {
        "request_id": {**_TEXT, "description": "The same as `X-Request-ID`"},
        "timestamp": {"type": "string", "format": "date-time"},
        "node": {**_TEXT, "description": "The process that answered"},
        "auth_token": {**_TEXT, "description": "The token of the request, or the new one"},
        "version": {**_TEXT, "description": "Of the server"},
    }
    paging = {
        "page_size": {**COUNT, "description": "How many there are in `data`"},
        "start_key": {**_TEXT, "description": "Where this page begins"},
        "next_start_key": {**_TEXT, "description": "Where the next page begins, if there is one"},
    }
    always = ["status", "request_id", "timestamp", "node"]
    return {
        "Success": {
            "type": "object",
            "properties": {
                "status": {"const": "success"},
                **frame,
                "revision": {**_TEXT, "description": "Changes when `data` does"},
            },
            "required": [*always, "data", "auth_token", "version"],
        },
        "Metadata": {
            "type": "object",
            "properties": {
                "id": HEX_ID,
                "created": _SECONDS,
                "modified": _SECONDS,
                "deleted": {"const": True},
            },
            "required": ["id", "created", "modified"],
        },
        "Page": {
            "allOf": [
                ref("Success"),
                {"type": "object", "properties": paging, "required": ["revision"]},
            ]
        },
        "Refusal": {
            "type": "object",
            "properties": {
                "status": {"const": "error"},
                "error": {"type": "string", "description": "The HTTP status"},
                "message": {**_TEXT, "description": "A word for machines"},
                "data": {"type": "object", "description": "Details"},
                **frame,
            },
            "required": [*always, "error", "message", "data"],
        },
        "BrokenRules": {
            "type": "object",
            "description": "Dotted field -> rule -> what is wrong",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "message": _TEXT,
                        "target": {"description": "What the rule wanted"},
                        "value": {"description": "What came"},
                        "cause": {"description": "What came, of the rules about lengths"},
                    },
                    "required": ["message"],
                },
            },
        },
    }
