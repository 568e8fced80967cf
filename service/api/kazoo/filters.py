"""Filters of the query string over a document: all of them must match.

KAZOO API docs, "Query string filters": `filter_<path>`, `filter_not_<path>`, `has_key`,
`key_missing`, `has_value`, `value_missing`; a path is dotted. Unknown parameters are ignored.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from service.domain.errors import Invalid, Rule
from service.domain.schema import Document

MAX_FILTERS = 20
TOO_MANY_FILTERS = f"A request must not have more than {MAX_FILTERS} filters; send fewer"

Predicate = Callable[[Document], bool]

_ABSENT = object()


def read_filter(parameters: Iterable[tuple[str, str]], *, prefix: str = "") -> Predicate | None:
    """Reads the filters, or None if there are none. Raises Invalid if there are too many.

    `prefix` may precede a path and is ignored.
    """
    optional = (_predicate(name, value, prefix) for name, value in parameters)
    predicates = [predicate for predicate in optional if predicate is not None]
    if not predicates:
        return None
    if len(predicates) > MAX_FILTERS:
        raise Invalid.of(
            "filter",
            Rule.MAX_ITEMS,
            target=MAX_FILTERS,
            value=len(predicates),
            message=TOO_MANY_FILTERS,
        )
    return lambda document: all(predicate(document) for predicate in predicates)


def _predicate(name: str, value: str, prefix: str) -> Predicate | None:
    def path(text: str) -> tuple[str, ...]:
        return tuple(text.removeprefix(prefix).split("."))

    match name:
        case "has_key":
            return _has_key(path(value))
        case "key_missing":
            return _not(_has_key(path(value)))
        case "has_value":
            return _has_value(path(value))
        case "value_missing" | "missing_value":
            return _not(_has_value(path(value)))
    if name.startswith("filter_not_"):
        return _not(_equals(path(name.removeprefix("filter_not_")), value))
    if name.startswith("filter_"):
        return _equals(path(name.removeprefix("filter_")), value)
    return None


def _has_key(path: tuple[str, ...]) -> Predicate:
    return lambda document: _value_at(document, path) is not _ABSENT


def _has_value(path: tuple[str, ...]) -> Predicate:
    return lambda document: _value_at(document, path) not in (_ABSENT, None, "", [], {})


def _not(predicate: Predicate) -> Predicate:
    return lambda document: not predicate(document)


def _equals(path: tuple[str, ...], expected: str) -> Predicate:
    """Equal as text, equal as JSON, or an item of a JSON list. An absent key equals empty text."""
    decoded = decode_json(expected)
    is_member = _membership(decoded if isinstance(decoded, list) else [decoded])
    is_structured = isinstance(decoded, list | dict)

    def equals(document: Document) -> bool:
        value = _value_at(document, path)
        if value is _ABSENT:
            return expected == ""
        if is_member(value):
            return True
        if isinstance(value, list | dict):
            # Encoding a large value is slow, and only the text of a list or an object can equal it.
            return is_structured and (value == decoded or _to_string(value) == expected)
        return _to_string(value) == expected

    return equals


def _membership(items: Collection[Any]) -> Callable[[Any], bool]:
    """Returns a predicate that is true for an equal item of the same type."""
    scalars = {(type(item), item) for item in items if not isinstance(item, list | dict)}
    structures = [item for item in items if isinstance(item, list | dict)]

    def is_member(value: Any) -> bool:
        if isinstance(value, list | dict):
            return any(type(value) is type(item) and value == item for item in structures)
        return (type(value), value) in scalars

    return is_member


def decode_json(text: str) -> Any:
    """Decodes a value of the query as JSON; returns a sentinel if it is not JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return _ABSENT


def _to_string(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _value_at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return _ABSENT
        document = document[key]
    return document
