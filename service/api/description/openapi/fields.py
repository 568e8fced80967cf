"""JSON Schemas generated from the field tables that requests are validated against."""

from collections.abc import Iterable, Mapping
from typing import Any

from service.domain.formats import Format
from service.domain.schema import MAX_INTEGER, Field, Fields

Json = dict[str, Any]
Descriptions = Mapping[str, str]


def request_schema(fields: Fields, descriptions: Descriptions) -> Json:
    """Returns the schema of a document that a client sends. Unknown keys are allowed."""
    return _object(fields, descriptions, "", _request_field) | _required(fields)


def nullable_request_schema(fields: Fields, descriptions: Descriptions) -> Json:
    """Returns the schema of a request in which null means an absent key."""
    return _object(fields, descriptions, "", _nullable_request_field) | _required(fields)


def patch_schema(fields: Fields, descriptions: Descriptions) -> Json:
    """Returns the schema of a partial update: every key is optional, and null deletes."""
    return _object(fields, descriptions, "", _patch_field)


def response_schema(fields: Fields, descriptions: Descriptions) -> Json:
    """Returns the schema of a stored document: types without bounds, because of older rules.

    Fields that are required or have a default are always present.
    """
    schema = _object(fields, descriptions, "", _response_field)
    required = [
        name for name, field in fields.items() if field.required or field.default is not None
    ]
    return {**schema, "required": required} if required else schema


def with_properties(schema: Json, properties: Json, required: Iterable[str] = ()) -> Json:
    """Returns an object schema with further properties. Those in `required` are always present."""
    names = [*schema.get("required", ()), *required]
    extended = {**schema, "properties": {**schema.get("properties", {}), **properties}}
    return {**extended, "required": names} if names else extended


def _required(fields: Fields) -> Json:
    required = [name for name, field in fields.items() if field.required]
    return {"required": required} if required else {}


def _object(fields: Fields, descriptions: Descriptions, path: str, describe_field: Any) -> Json:
    properties = {
        name: describe_field(field, descriptions, f"{path}{name}")
        | _description(descriptions, f"{path}{name}")
        for name, field in fields.items()
    }
    # Without this key, validators and generators treat an object differently.
    return {"type": "object", "properties": properties, "additionalProperties": True}


def _description(descriptions: Descriptions, path: str) -> Json:
    return {"description": descriptions[path]} if path in descriptions else {}


def _request_field(field: Field, descriptions: Descriptions, path: str) -> Json:
    schema = _bounds_of(field) | _nested_schemas(field, descriptions, path, _request_field)
    if field.default is not None:
        schema["default"] = field.default
    return schema


def _nullable_request_field(field: Field, descriptions: Descriptions, path: str) -> Json:
    schema = _bounds_of(field) | _nested_schemas(field, descriptions, path, _nullable_request_field)
    if field.default is not None:
        schema["default"] = field.default
    return _make_nullable(schema, field, path)


def _patch_field(field: Field, descriptions: Descriptions, path: str) -> Json:
    schema = _bounds_of(field) | _nested_schemas(field, descriptions, path, _patch_field)
    return _make_nullable(schema, field, path)


def _make_nullable(schema: Json, field: Field, path: str) -> Json:
    """Permits null, except for a required field and for the items of an array."""
    if field.required or path.endswith(".*"):
        return schema
    types = schema["type"]
    schema["type"] = [*([types] if isinstance(types, str) else types), "null"]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _response_field(field: Field, descriptions: Descriptions, path: str) -> Json:
    schema = {"type": _types(field)} | _nested_schemas(field, descriptions, path, _response_field)
    return {**schema, "enum": list(field.enum)} if field.enum else schema


def _nested_schemas(
    field: Field, descriptions: Descriptions, path: str, describe_field: Any
) -> Json:
    nested: Json = {}
    if field.items is not None:
        nested["items"] = describe_field(field.items, descriptions, f"{path}.*")
    if field.fields:
        nested |= _object(field.fields, descriptions, f"{path}.", describe_field)
        nested["type"] = _types(field)
        nested |= _required(field.fields) if describe_field is not _patch_field else {}
    return nested


def _bounds_of(field: Field) -> Json:
    schema: Json = {"type": _types(field)}
    bounds = {
        "minLength": field.min_length,
        "maxLength": field.max_length,
        "minItems": field.min_items,
        "maxItems": field.max_items,
    }
    if {"integer", "number"} & set(field.types):
        bounds["minimum"] = -MAX_INTEGER if field.minimum is None else field.minimum
        bounds["maximum"] = MAX_INTEGER if field.maximum is None else field.maximum
    schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if field.enum:
        schema["enum"] = list(field.enum)
    return schema if field.format is None else schema | _format_schema(field.format)


def _format_schema(text_format: Format) -> Json:
    schema: Json = {"format": text_format.name}
    return schema if text_format.pattern is None else {**schema, "pattern": text_format.pattern}


def _types(field: Field) -> str | list[str]:
    return field.types[0] if len(field.types) == 1 else list(field.types)
