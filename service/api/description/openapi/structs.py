"""JSON Schemas of responses, generated from the Structs that encode them."""

from collections.abc import Iterable

import msgspec

from service.api.description.openapi.fields import (
    Descriptions,
    Json,
    response_schema,
    with_properties,
)
from service.domain.schema import Fields

_REFERENCE = "#/components/schemas/{name}"


def ref(schema: type | str) -> Json:
    """Returns a reference to a component schema, by its Struct or by its name."""
    name = schema if isinstance(schema, str) else schema.__name__
    return {"$ref": _REFERENCE.format(name=name)}


def struct_schemas(kinds: Iterable[type], descriptions: Descriptions) -> Json:
    """Returns component schemas by class name, including nested Structs and enums.

    `descriptions` describes the properties that have no description of their own.
    """
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    return {name: _response_schema(schema, descriptions) for name, schema in schemas.items()}


def document_schema(fields: Fields, descriptions: Descriptions, extras: type) -> Json:
    """Returns the schema of a document: its field table, and the Struct that the server adds."""
    added = struct_schemas([extras], {})[extras.__name__]
    return with_properties(
        response_schema(fields, descriptions), added["properties"], added["required"]
    )


def _response_schema(schema: Json, descriptions: Descriptions) -> Json:
    """Returns the schema with each field required unless its default is UNSET.

    Only a field with this default is left out of JSON.
    """
    del schema["title"]
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    properties: Json = schema.get("properties", {})
    for name, described in properties.items():
        if "default" in described:
            del described["default"]
            schema["required"].append(name)
        if described.get("type") == "object":
            # Without this key, some generators produce a type that is always empty.
            described.setdefault("additionalProperties", True)
        if name in descriptions:
            described.setdefault("description", descriptions[name])
    return schema
