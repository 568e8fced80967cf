"""Component schemas: of requests from field tables, of responses from their Structs."""

from service.api.description.event_descriptions import cloud_event_schema
from service.api.description.openapi.fields import (
    Json,
    nullable_request_schema,
    patch_schema,
    request_schema,
    with_properties,
)
from service.api.description.openapi.structs import document_schema, ref, struct_schemas
from service.api.kazoo.deliveries import RETRY_FIELDS
from service.api.kazoo.envelope import EventPage, Failure, Success, SuccessPage
from service.api.kazoo.forwards import FORWARD_FIELDS
from service.api.kazoo.links import LINK_FIELDS, MAIL_LINK_FIELDS
from service.api.kazoo.openapi import descriptions
from service.api.kazoo.profiles import ACCOUNT_FIELDS
from service.api.kazoo.sessions import (
    ACCOUNT_NAMES,
    API_KEY_FIELDS,
    CREDENTIAL_FIELDS,
    TOKEN_FIELDS,
)
from service.api.kazoo.uploads import UPLOAD_FIELDS
from service.api.kazoo.vmboxes import PIN_FIELDS
from service.api.kazoo.wire import (
    api_keys,
    audit,
    deliveries,
    documents,
    erasures,
    exports,
    forwards,
    greetings,
    holds,
    hooks,
    links,
    messages,
    searches,
    transcriptions,
    waveforms,
    webhooks,
)
from service.api.kazoo.wire.uploads import UploadResponse
from service.api.kazoo.wire.vmbox_trash import VmboxBatchResponse, VmboxTrashRow
from service.domain.api_key import FIELDS as NAMED_KEY_FIELDS
from service.domain.batch import MAX_MESSAGES, MAX_TARGETS
from service.domain.erasure import FIELDS as ERASURE_FIELDS
from service.domain.greeting import FIELDS as GREETING_FIELDS
from service.domain.hold import FIELDS as HOLD_FIELDS
from service.domain.message import Folder
from service.domain.user import FIELDS as USER_FIELDS
from service.domain.vmbox import FIELDS as VMBOX_FIELDS
from service.domain.webhook import FIELDS as WEBHOOK_FIELDS

HEX_ID: Json = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
MESSAGE_ID: Json = {"type": "string", "pattern": "^[0-9]{4}(0[1-9]|1[0-2])-[0-9a-f]{32}$"}
FOLDERS = [folder.value for folder in Folder]

_TEXT: Json = {"type": "string"}
# In a webhook that sends CloudEvents these are unknown keys, which can have any value.
_KAZOO_HOOK_KEYS = ("type", "action", "format")


def schemas() -> Json:
    """All component schemas by name."""
    return {**_responses(), **_accounts(), **_vmboxes(), **_webhooks(), **_messages()}


def _responses() -> Json:
    """Returns the schemas of responses. Fields have the description of the same request field."""
    envelopes = struct_schemas((Success, SuccessPage, EventPage, Failure), {})
    return {
        **envelopes,
        "CloudEvent": cloud_event_schema(),
        "ValidationFailure": with_properties(envelopes["Failure"], {"data": ref("BrokenRules")}),
        **struct_schemas((documents.SessionResponse, documents.ApiKeyResponse), {}),
        **struct_schemas((documents.DocumentMetadata, documents.ReadOnlyFlags), {}),
        **struct_schemas((documents.AccountRow,), descriptions.ACCOUNT),
        **struct_schemas((api_keys.ApiKeyRow, api_keys.CreatedApiKey), descriptions.API_KEYS),
        **struct_schemas((documents.UserRow,), descriptions.USER),
        **struct_schemas(
            (documents.GreetingRow, greetings.PlayingGreetingRow), descriptions.GREETING
        ),
        **struct_schemas((documents.VmboxRow, documents.AudianVmboxRow), descriptions.VMBOX),
        **struct_schemas((documents.MwiResponse, documents.PinResponse), {}),
        **struct_schemas((VmboxBatchResponse, VmboxTrashRow), {}),
        **struct_schemas((forwards.ForwardResponse, forwards.ForwardStepFields), {}),
        **struct_schemas((messages.BatchResponse, messages.LinkResponse, UploadResponse), {}),
        **struct_schemas((webhooks.WebhookRow, webhooks.AttemptRow), descriptions.WEBHOOK),
        **struct_schemas((hooks.HookRow, hooks.Modifier, hooks.ModifierValue), {}),
        **struct_schemas((audit.AuditRow,), {}),
        **struct_schemas((deliveries.DeadDeliveryRow, deliveries.RetriedResponse), {}),
        **struct_schemas((links.OpenedMessage, waveforms.WaveformData), {}),
        **struct_schemas((holds.HoldRow, holds.HeldIdsResponse), descriptions.HOLD),
        **struct_schemas(
            (transcriptions.TranscriptionDetail, transcriptions.TranscriptionRequest),
            {},
        ),
        **struct_schemas((erasures.ErasureRow,), {}),
        **struct_schemas((exports.ExportRow,), {}),
        **struct_schemas(
            (
                messages.TrashRow,
                messages.HeldRow,
                messages.StoredMessage,
                searches.MatchedRow,
            ),
            descriptions.MESSAGE,
        ),
        "BrokenRules": {
            "type": "object",
            "description": "Dotted field -> rule -> details",
            "additionalProperties": {"type": "object", "additionalProperties": _BROKEN_RULE},
        },
    }


_BROKEN_RULE: Json = {
    "type": "object",
    "properties": {
        "message": _TEXT,
        "target": {"description": "The limit of the rule"},
        "format": {"description": "The name of the format that `wrong_format` requires"},
        "value": {"description": "The rejected value"},
        "cause": {"description": "The rejected value, for rules about lengths and times"},
    },
    "required": ["message"],
}


def _accounts() -> Json:
    stored = {name: field for name, field in USER_FIELDS.items() if name != "password"}
    return {
        "NewAccount": nullable_request_schema(ACCOUNT_FIELDS, descriptions.ACCOUNT),
        "AccountChanges": patch_schema(ACCOUNT_FIELDS, descriptions.ACCOUNT),
        "Account": document_schema(ACCOUNT_FIELDS, descriptions.ACCOUNT, documents.DocumentExtras),
        "NewUser": _with_secret_password(nullable_request_schema(USER_FIELDS, descriptions.USER)),
        "UserChanges": _with_secret_password(patch_schema(USER_FIELDS, descriptions.USER)),
        "User": document_schema(stored, descriptions.USER, documents.DocumentExtras),
        "ApiKey": {**nullable_request_schema(API_KEY_FIELDS, {}), "additionalProperties": False},
        "NewErasure": nullable_request_schema(ERASURE_FIELDS, descriptions.ERASURE),
        "NewHold": nullable_request_schema(HOLD_FIELDS, descriptions.HOLD),
        "NewApiKey": nullable_request_schema(NAMED_KEY_FIELDS, descriptions.API_KEYS),
        "SessionToken": nullable_request_schema(TOKEN_FIELDS, {"token": "The token of a session"}),
        "Credentials": {
            **nullable_request_schema(CREDENTIAL_FIELDS, descriptions.CREDENTIALS),
            "anyOf": [{"required": [name]} for name in ACCOUNT_NAMES],
        },
    }


def _with_secret_password(schema: Json) -> Json:
    schema["properties"]["password"]["writeOnly"] = True
    return schema


def _vmboxes() -> Json:
    return {
        "NewVmbox": {
            **nullable_request_schema(VMBOX_FIELDS, descriptions.VMBOX),
            "description": "The settings of a box. Unknown keys are kept.",
        },
        "VmboxChanges": {
            **patch_schema(VMBOX_FIELDS, descriptions.VMBOX),
            "description": "Some settings of a box: objects merge, null deletes at any depth.",
        },
        "Vmbox": document_schema(VMBOX_FIELDS, descriptions.VMBOX, documents.DocumentExtras),
        "PinCheck": request_schema(PIN_FIELDS, {"pin": "The PIN to check"}),
        "NewGreeting": nullable_request_schema(GREETING_FIELDS, descriptions.GREETING),
        "GreetingChanges": patch_schema(GREETING_FIELDS, descriptions.GREETING),
        "Greeting": document_schema(
            GREETING_FIELDS, descriptions.GREETING, documents.GreetingExtras
        ),
    }


def _webhooks() -> Json:
    def described(extras: type) -> Json:
        schema = document_schema(WEBHOOK_FIELDS, descriptions.WEBHOOK, extras)
        for name in _KAZOO_HOOK_KEYS:
            schema["properties"][name] = {"description": descriptions.WEBHOOK[name]}
        return schema

    nullable_text: Json = {"type": ["string", "null"]}
    return {
        "NewWebhook": _with_custom_data(
            nullable_request_schema(WEBHOOK_FIELDS, descriptions.WEBHOOK), _TEXT
        ),
        "WebhookChanges": _with_custom_data(
            patch_schema(WEBHOOK_FIELDS, descriptions.WEBHOOK), nullable_text
        ),
        "Webhook": _with_custom_data(described(webhooks.WebhookExtras), _TEXT),
        "CreatedWebhook": _with_custom_data(described(webhooks.NewWebhookExtras), _TEXT),
    }


def _with_custom_data(webhook: Json, value: Json) -> Json:
    """`custom_data` as an object whose values have this schema."""
    webhook["properties"]["custom_data"]["additionalProperties"] = value
    return webhook


def _messages() -> Json:
    ids = {"type": "array", "items": _TEXT, "maxItems": MAX_MESSAGES}
    required_ids = {"messages": {**ids, "minItems": 1}}
    vmbox_ids = {"vmboxes": required_ids["messages"]}
    box_id = {"type": "string", "minLength": 1}
    targets = {"type": "array", "items": box_id, "minItems": 1, "maxItems": MAX_TARGETS}
    folder = {"type": "string", "enum": FOLDERS}
    change: Json = {
        "type": "object",
        "properties": {
            "folder": {**folder, "description": "The default is `saved`"},
            "source_id": {
                "description": "The target box of a move, or the list of target boxes of copies. "
                "It takes precedence over `folder`.",
                "anyOf": [box_id, targets],
            },
        },
    }
    timestamp = {
        "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}],
        "description": descriptions.MESSAGE["timestamp"],
    }
    new = nullable_request_schema(messages.MESSAGE_FIELDS, descriptions.MESSAGE)
    token = {"type": ["string", "null"], "description": "The `upload` of a direct upload"}
    declared = nullable_request_schema(UPLOAD_FIELDS, descriptions.UPLOAD)
    return {
        "NewMessage": with_properties(new, {"timestamp": timestamp, "upload": token}),
        "NewUpload": with_properties(declared, {**new["properties"], "timestamp": timestamp}),
        "VmboxIds": with_properties({"type": "object"}, vmbox_ids, ["vmboxes"]),
        "VmboxSelection": {"type": "object", "properties": vmbox_ids},
        "MessageIds": with_properties({"type": "object"}, required_ids, ["messages"]),
        "MessageChange": change,
        "DeliverySelection": nullable_request_schema(RETRY_FIELDS, descriptions.DELIVERIES),
        "MailLink": request_schema(MAIL_LINK_FIELDS, descriptions.LINK),
        "NewForward": nullable_request_schema(FORWARD_FIELDS, descriptions.FORWARD),
        "NewLink": nullable_request_schema(LINK_FIELDS, descriptions.LINK),
        "MessageChanges": with_properties(change, required_ids, ["messages"]),
        "MessageSelection": {"type": "object", "properties": {"messages": ids, "folder": folder}},
    }
