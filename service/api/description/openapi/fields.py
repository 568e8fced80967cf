"""JSON Schemas from the tables that requests are checked against, so that neither can drift."""

from collections.abc import Iterable, Mapping
from typing import Any

from service.domain.formats import Format
from service.domain.schema import MAX_INTEGER, Field, Fields

Json = dict[str, Any]
Texts = Mapping[str, str]


def taken(fields: Fields, texts: Texts) -> Json:
    """What a client may send. Unknown keys are taken too."""
    return _object(fields, texts, "", _taken) | _needed(fields)


def taken_with_nulls(fields: Fields, texts: Texts) -> Json:
    """What a client may send where a null is as good as no key, but in objects within."""
    return _object(fields, texts, "", _taken_or_null) | _needed(fields)


def changes(fields: Fields, texts: Texts) -> Json:
    """What a client may send as a change: anything may be missing, null deletes."""
    return _object(fields, texts, "", _changed)


def answered(fields: Fields, texts: Texts) -> Json:
    """What an answer holds: types without bounds, since older documents keep what they have.

    What is required or has a default is always there.
    """
    schema = _object(fields, texts, "", _answered)
    there = [name for name, one in fields.items() if one.required or one.default is not None]
    return {**schema, "required": there} if there else schema


def with_more(schema: Json, properties: Json, required: Iterable[str] = ()) -> Json:
    """An object schema with further properties, which are always there when they are required."""
    needed = [*schema.get("required", ()), *required]
    whole = {**schema, "properties": {**schema.get("properties", {}), **properties}}
    return {**whole, "required": needed} if needed else whole


def _needed(fields: Fields) -> Json:
    required = [name for name, field in fields.items() if field.required]
    return {"required": required} if required else {}


def _object(fields: Fields, texts: Texts, path: str, spell: Any) -> Json:
    properties = {
        name: spell(field, texts, f"{path}{name}") | _described(texts, f"{path}{name}")
        for name, field in fields.items()
    }
    return {"type": "object", "properties": properties}


def _described(texts: Texts, path: str) -> Json:
    return {"description": texts[path]} if path in texts else {}


def _taken(field: Field, texts: Texts, path: str) -> Json:
    schema = _bounded(field) | _inner(field, texts, path, _taken)
    if field.default is not None:
        schema["default"] = field.default
    return schema


def _taken_or_null(field: Field, texts: Texts, path: str) -> Json:
    return _taken(field, texts, path) if field.required else _or_null(_taken(field, texts, path))


def _changed(field: Field, texts: Texts, path: str) -> Json:
    schema = _bounded(field) | _inner(field, texts, path, _changed)
    # What must be there cannot be deleted; an array is replaced, so nothing in it can be either.
    return schema if field.required or path.endswith(".*") else _or_null(schema)


def _or_null(schema: Json) -> Json:
    schema["type"] = [*_listed(schema["type"]), "null"]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _answered(field: Field, texts: Texts, path: str) -> Json:
    schema = {"type": _types(field)} | _inner(field, texts, path, _answered)
    return {**schema, "enum": list(field.enum)} if field.enum else schema


def _inner(field: Field, texts: Texts, path: str, spell: Any) -> Json:
    inner: Json = {}
    if field.items is not None:
        inner["items"] = spell(field.items, texts, f"{path}.*")
    if field.fields:
        inner |= _object(field.fields, texts, f"{path}.", spell)
        inner["type"] = _types(field)
        required = [name for name, one in field.fields.items() if one.required]
        if required and spell is not _changed:
            inner["required"] = required
    return inner


def _bounded(field: Field) -> Json:
    schema: Json = {"type": _types(field)}
    bounds = {"minLength": field.min_length, "maxLength": field.max_length}
    if {"integer", "number"} & set(field.types):
        bounds["minimum"] = -MAX_INTEGER if field.minimum is None else field.minimum
        bounds["maximum"] = MAX_INTEGER if field.maximum is None else field.maximum
    schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if field.enum:
        schema["enum"] = list(field.enum)
    return schema if field.format is None else schema | _format(field.format)


def _format(wanted: Format) -> Json:
    schema: Json = {"format": wanted.name}
    return schema if wanted.pattern is None else {**schema, "pattern": wanted.pattern}


def _types(field: Field) -> str | list[str]:
    return field.types[0] if len(field.types) == 1 else list(field.types)


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types
