"""The schemas of what surrounds documents: the envelope of answers, and of refusals."""

from service.api.kazoo.openapi.schemas import COUNT, HEX_ID, TEXT, ref
from service.api.openapi.fields import Json

_SECONDS: Json = {"type": "integer", "description": "Gregorian seconds"}


def envelopes() -> Json:
    """All of them by name."""
    frame = {
        "request_id": {**TEXT, "description": "The same as `X-Request-ID`"},
        "timestamp": {"type": "string", "format": "date-time"},
        "node": {**TEXT, "description": "The process that answered"},
        "auth_token": {**TEXT, "description": "The token of the request, or the new one"},
        "version": {**TEXT, "description": "Of the server"},
    }
    paging = {
        "page_size": {**COUNT, "description": "How many there are in `data`"},
        "start_key": {**TEXT, "description": "Where this page begins"},
        "next_start_key": {**TEXT, "description": "Where the next page begins, if there is one"},
    }
    always = ["status", "request_id", "timestamp", "node"]
    return {
        "Success": {
            "type": "object",
            "properties": {
                "status": {"const": "success"},
                **frame,
                "revision": {**TEXT, "description": "Changes when `data` does"},
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
                "message": {**TEXT, "description": "A word for machines"},
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
                        "message": TEXT,
                        "target": {"description": "What the rule wanted"},
                        "value": {"description": "What came"},
                        "cause": {"description": "What came, of the rules about lengths"},
                    },
                    "required": ["message"],
                },
            },
        },
    }
