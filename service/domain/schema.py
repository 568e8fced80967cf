"""Validation of JSON documents against a table of fields.

The rules and their names are those of JSON Schema. Telephony clients send integers and booleans as
strings, so such a string is converted; a number is never converted to a string.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from service.domain.errors import DocumentTooComplex, DocumentTooLarge, Invalid, Problem, Rule
from service.domain.formats import Format

Document = dict[str, Any]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of one field. `types` are type names of JSON Schema."""

    types: tuple[str, ...] = ("string",)
    required: bool = False
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    enum: tuple[str, ...] = ()
    items: "Field | None" = None
    fields: Mapping[str, "Field"] = {}
    format: Format | None = None


MAX_INTEGER = 2**53 - 1
MAX_DOCUMENT_BYTES = 65_536
MAX_DOCUMENT_NODES = 10_000
"""Values of a document at all levels; each takes up to 250 bytes of memory."""
Fields = Mapping[str, Field]


def validate_document(
    document: Document,
    fields: Fields,
    server_keys: Collection[str],
    before: Document | None = None,
) -> Document:
    """Returns the document with defaults, without reserved keys and nulls.

    `before` is the stored document that changes. Raises Invalid with all problems,
    DocumentTooLarge, DocumentTooComplex.
    """
    submitted = submitted_keys(document, server_keys)
    check_size(submitted)
    checked, problems = apply_schema(submitted, fields)
    problems = new_problems(problems, before or {})
    if problems:
        raise Invalid(problems)
    check_size(checked)
    return checked


def new_problems(problems: Iterable[Problem], before: Document) -> list[Problem]:
    """Returns the problems, except problems of a format that the stored document already has.

    An earlier release may have stored such a value. A client can then still change other fields.
    """

    def is_stored(problem: Problem) -> bool:
        value: Any = before
        for key in problem.field.split("."):
            if isinstance(value, list):
                return problem.value in value
            value = value.get(key) if isinstance(value, dict) else None
        return bool(value == problem.value)

    return [each for each in problems if each.rule != Rule.WRONG_FORMAT or not is_stored(each)]


def check_size(document: Document) -> None:
    """Raises DocumentTooLarge above 64 KiB of JSON, DocumentTooComplex above 10 000 values."""
    encoded = msgspec.json.encode(document)
    if len(encoded) > MAX_DOCUMENT_BYTES:
        raise DocumentTooLarge(MAX_DOCUMENT_BYTES)
    # The estimate is never too low, and it is fast. Most documents need no exact count.
    estimate = 1 + encoded.count(b",") + encoded.count(b"[") + encoded.count(b"{")
    if estimate > MAX_DOCUMENT_NODES and _count_nodes(document) > MAX_DOCUMENT_NODES:
        raise DocumentTooComplex(MAX_DOCUMENT_NODES)


def _count_nodes(document: Document) -> int:
    count, nodes = 0, [document]
    while nodes:
        node: Any = nodes.pop()
        count += 1
        if isinstance(node, dict):
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return count


def apply_schema(
    document: Document, fields: Mapping[str, Field], prefix: str = ""
) -> tuple[Document, list[Problem]]:
    """Returns a copy with defaults and converted values, and the problems. Keeps unknown keys."""
    result = dict(document)
    problems: list[Problem] = []
    for name, field in fields.items():
        path = f"{prefix}{name.replace('.', '%2E')}"
        if name in result:
            result[name], broken = _apply_field(result[name], field, path)
            problems += broken
        elif field.required:
            problems.append(Problem(field=path, rule=Rule.REQUIRED))
        elif field.default is not None:
            result[name] = msgspec.json.decode(msgspec.json.encode(field.default))
    return result, problems


def _apply_field(value: Any, field: Field, path: str) -> tuple[Any, list[Problem]]:
    value = _coerce(value, field.types)
    if type_of(value) not in field.types and not (
        isinstance(value, int) and type_of(value) == "integer" and "number" in field.types
    ):
        target = ", ".join(field.types)
        return value, [Problem(field=path, rule=Rule.TYPE, target=target, value=value)]
    match value:
        case bool():
            return value, []
        case str():
            return value, _check_string(value, field, path)
        case int():
            return value, _check_number(value, field, path)
        case list() if len(value) < (field.min_items or 0):
            return value, [Problem(field=path, rule=Rule.REQUIRED)]
        case list() if field.max_items is not None and len(value) > field.max_items:
            # Without the value, which may be large. The items are not checked.
            return value, [Problem(field=path, rule=Rule.MAX_ITEMS, target=field.max_items)]
        case list() if field.items is not None:
            return _apply_items(value, field.items, path)
        case dict():
            return apply_schema(value, field.fields, f"{path}.")
        case _:
            return value, []


def _apply_items(values: list[Any], item: Field, path: str) -> tuple[list[Any], list[Problem]]:
    checked = [_apply_field(value, item, f"{path}.{index}") for index, value in enumerate(values)]
    return [value for value, _ in checked], [problem for _, broken in checked for problem in broken]


def _check_string(value: str, field: Field, path: str) -> list[Problem]:
    problems = []
    if field.min_length is not None and len(value) < field.min_length:
        problems.append(
            Problem(field=path, rule=Rule.MIN_LENGTH, target=field.min_length, value=value)
        )
    if field.max_length is not None and len(value) > field.max_length:
        problems.append(
            Problem(field=path, rule=Rule.MAX_LENGTH, target=field.max_length, value=value)
        )
    if field.enum and value not in field.enum:
        problems.append(Problem(field=path, rule=Rule.ENUM, target=list(field.enum), value=value))
    if not problems and field.format is not None and not field.format.is_valid(value):
        problems.append(
            Problem(field=path, rule=Rule.WRONG_FORMAT, target=field.format.name, value=value)
        )
    return problems


def _check_number(value: int, field: Field, path: str) -> list[Problem]:
    minimum = field.minimum if field.minimum is not None else -MAX_INTEGER
    maximum = field.maximum if field.maximum is not None else MAX_INTEGER
    if value < minimum:
        return [Problem(field=path, rule=Rule.MINIMUM, target=minimum, value=value)]
    if value > maximum:
        return [Problem(field=path, rule=Rule.MAXIMUM, target=maximum, value=value)]
    return []


def type_of(value: Any) -> str:
    """Returns the type name of JSON Schema for a decoded JSON value."""
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


def _coerce(value: Any, types: tuple[str, ...]) -> Any:
    """Converts a string to a boolean or an integer when the field does not accept strings."""
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
    """Applies a JSON Merge Patch (RFC 7396): objects merge, null deletes, other values replace."""
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


def submitted_keys(document: Document, server_keys: Collection[str] = ()) -> Document:
    """Returns the keys of a request that count: not reserved and, at all levels, not null."""
    return merge({}, strip_reserved_keys(document, server_keys))


def strip_reserved_keys(document: Document, server_keys: Collection[str] = ()) -> Document:
    """Returns the document without `server_keys` and keys that begin with `_` or `pvt_`."""
    return {
        name: value
        for name, value in document.items()
        if name not in server_keys and not name.startswith(("_", "pvt_"))
    }
