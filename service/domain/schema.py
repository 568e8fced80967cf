"""Checks a JSON document against a table of fields; writes defaults in, keeps unknown keys.

The rules and their names are JSON Schema's. As telephony clients expect, a string that spells an
integer or a boolean counts as one; a number never counts as a string.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from service.domain.errors import Problem, Rule
from service.domain.formats import Format

Document = dict[str, Any]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field. `types` are JSON Schema's type names; bounds are counts, or values of a number."""

    types: tuple[str, ...] = ("string",)
    required: bool = False
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    enum: tuple[str, ...] = ()
    items: "Field | None" = None
    fields: Mapping[str, "Field"] = {}
    format: Format | None = None


MAX_INTEGER = 2**53 - 1
Fields = Mapping[str, Field]


def apply_schema(
    document: Document, fields: Mapping[str, Field], path: str = ""
) -> tuple[Document, list[Problem]]:
    """A copy with defaults written in and spelled values converted, and the problems."""
    result = dict(document)
    problems: list[Problem] = []
    for name, field in fields.items():
        where = f"{path}{name.replace('.', '%2E')}"
        if name in result:
            result[name], found = _apply_field(result[name], field, where)
            problems += found
        elif field.required:
            problems.append(Problem(field=where, rule=Rule.REQUIRED))
        elif field.default is not None:
            result[name] = msgspec.json.decode(msgspec.json.encode(field.default))
    return result, problems


def _apply_field(value: Any, field: Field, where: str) -> tuple[Any, list[Problem]]:
    value = _coerced(value, field.types)
    if type_of(value) not in field.types and not (
        isinstance(value, int) and type_of(value) == "integer" and "number" in field.types
    ):
        target = ", ".join(field.types)
        return value, [Problem(field=where, rule=Rule.TYPE, target=target, value=value)]
    match value:
        case bool():
            return value, []
        case str():
            return value, _check_string(value, field, where)
        case int():
            return value, _check_number(value, field, where)
        case list() if field.items is not None:
            return _apply_items(value, field.items, where)
        case dict():
            return apply_schema(value, field.fields, f"{where}.")
        case _:
            return value, []


def _apply_items(values: list[Any], item: Field, where: str) -> tuple[list[Any], list[Problem]]:
    done = [_apply_field(value, item, f"{where}.{index}") for index, value in enumerate(values)]
    return [value for value, _ in done], [problem for _, found in done for problem in found]


def _check_string(value: str, field: Field, where: str) -> list[Problem]:
    problems = []
    if field.min_length is not None and len(value) < field.min_length:
        problems.append(
            Problem(field=where, rule=Rule.MIN_LENGTH, target=field.min_length, value=value)
        )
    if field.max_length is not None and len(value) > field.max_length:
        problems.append(
            Problem(field=where, rule=Rule.MAX_LENGTH, target=field.max_length, value=value)
        )
    if field.enum and value not in field.enum:
        problems.append(Problem(field=where, rule=Rule.ENUM, target=list(field.enum), value=value))
    if not problems and field.format is not None and not field.format.is_valid(value):
        problems.append(
            Problem(field=where, rule=Rule.WRONG_FORMAT, target=field.format.name, value=value)
        )
    return problems


def _check_number(value: int, field: Field, where: str) -> list[Problem]:
    minimum = field.minimum if field.minimum is not None else -MAX_INTEGER
    maximum = field.maximum if field.maximum is not None else MAX_INTEGER
    if value < minimum:
        return [Problem(field=where, rule=Rule.MINIMUM, target=minimum, value=value)]
    if value > maximum:
        return [Problem(field=where, rule=Rule.MAXIMUM, target=maximum, value=value)]
    return []


def type_of(value: Any) -> str:
    """JSON Schema's name for the type of a decoded JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() and abs(value) <= MAX_INTEGER else "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _coerced(value: Any, types: tuple[str, ...]) -> Any:
    """The value that a string spells, where the field wants no string."""
    if isinstance(value, float) and value.is_integer() and "integer" in types:
        return int(value)
    if not isinstance(value, str) or "string" in types:
        return value
    if "boolean" in types and value in ("true", "false"):
        return value == "true"
    if "integer" in types and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value) if len(value) <= 20 else value
    return value


def merge(document: Document, changes: Document) -> Document:
    """`changes` laid over `document`: objects merge, null deletes, all else replaces (RFC 7396)."""
    result = dict(document)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            result[name] = merge(before if isinstance(before, dict) else {}, value)
        else:
            result[name] = value
    return result


def strip_reserved_keys(document: Document, server_keys: Collection[str] = ()) -> Document:
    """Returns the document without `server_keys` and keys that begin with `_` or `pvt_`."""
    return {
        name: value
        for name, value in document.items()
        if name not in server_keys and not name.startswith(("_", "pvt_"))
    }
