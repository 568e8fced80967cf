"""Operations of JSON schemas."""

from service.api.description.openapi.operations import Operation
from service.api.kazoo import json_schemas
from service.api.kazoo.openapi.bodies import success
from service.domain.errors import NotFound

TAG = {"name": "Schemas", "description": "JSON schemas of the documents that clients create"}

_NAMES = list(json_schemas.COMPONENTS)
_EXAMPLE = {"id": "media", "type": "object", "properties": {"name": {"type": "string"}}}

OPERATIONS = (
    Operation(
        handler=json_schemas.list_schemas,
        signed_in=False,
        answers={
            200: success(
                {"type": "array", "items": {"type": "string"}}, _NAMES, description="The names"
            )
        },
    ),
    Operation(
        handler=json_schemas.get_schema,
        signed_in=False,
        answers={
            200: success(
                {"type": "object", "additionalProperties": {}},
                _EXAMPLE,
                description="The schema",
            )
        },
        refusals=(NotFound("devices"),),
    ),
)
