"""The schemas of what surrounds documents: the envelope of answers, and of refusals."""

from service.api.description.openapi.fields import Json
from service.api.kazoo.openapi.schemas import COUNT, HEX_ID, TEXT, ref

_SECONDS: Json = {"type": "integer", "description": "Gregorian seconds"}
_FRAME: Json = {
    "request_id": {**TEXT, "description": "The same as `X-Request-ID`"},
    "timestamp": {"type": "string", "format": "date-time"},
    "node": {**TEXT, "description": "The process that answered"},
    "auth_token": {**TEXT, "description": "The token of the request, or the new one"},
    "version": {**TEXT, "description": "Of the server"},
}
_ALWAYS = ("status", "request_id", "timestamp", "node")
_SUCCESS: Json = {
    "type": "object",
    "properties": {
        "status": {"const": "success"},
        **_FRAME,
        "revision": {**TEXT, "description": "Changes when `data` does"},
    },
    "required": [*_ALWAYS, "data", "version"],
}
_METADATA: Json = {
    "type": "object",
    "properties": {
        "id": HEX_ID,
        "created": _SECONDS,
        "modified": _SECONDS,
        "deleted": {"const": True},
    },
    "required": ["id", "created", "modified"],
}
_PAGING: Json = {
    "type": "object",
    "properties": {
        "page_size": {**COUNT, "description": "How many there are in `data`"},
        "start_key": {**TEXT, "description": "Where this page begins"},
        "next_start_key": {**TEXT, "description": "Where the next page begins, if there is one"},
    },
    "required": ["revision"],
}
_REFUSAL: Json = {
    "type": "object",
    "properties": {
        "status": {"const": "error"},
        "error": {"type": "string", "description": "The HTTP status"},
        "message": {**TEXT, "description": "A word for machines"},
        "data": {"type": "object", "description": "Details"},
        **_FRAME,
    },
    "required": [*_ALWAYS, "error", "message", "data"],
}
_BROKEN_RULE: Json = {
    "type": "object",
    "properties": {
        "message": TEXT,
        "target": {"description": "What the rule wanted"},
        "format": {"description": "What `wrong_format` wanted, by name"},
        "value": {"description": "What came"},
        "cause": {"description": "What came, of the rules about lengths"},
    },
    "required": ["message"],
}


def envelopes() -> Json:
    """All of them by name."""
    return {
        "Success": _SUCCESS,
        "Metadata": _METADATA,
        "Page": {"allOf": [ref("Success"), _PAGING]},
        "Refusal": _REFUSAL,
        "BrokenRules": {
            "type": "object",
            "description": "Dotted field -> rule -> what is wrong",
            "additionalProperties": {"type": "object", "additionalProperties": _BROKEN_RULE},
        },
    }
