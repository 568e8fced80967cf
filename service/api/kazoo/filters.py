"""Filters of the query string over a document: all of them must hold.

KAZOO API docs, "Query string filters": `filter_<path>`, `filter_not_<path>`, `has_key`,
`key_missing`, `has_value`, `value_missing`; a path is dotted. Unknown parameters are ignored.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from service.domain.schema import Document

Predicate = Callable[[Document], bool]

_ABSENT = object()


class Filter(msgspec.Struct, frozen=True):
    """What a document must be like; without predicates every document is."""

    predicates: tuple[Predicate, ...]

    def __bool__(self) -> bool:
        return bool(self.predicates)

    def matches(self, document: Document) -> bool:
        return all(predicate(document) for predicate in self.predicates)


def read_filter(parameters: Iterable[tuple[str, str]], *, prefix: str = "") -> Filter:
    """The filter that query parameters spell. `prefix` may stand before a path and says nothing."""
    found = (_predicate(name, value, prefix) for name, value in parameters)
    return Filter(tuple(one for one in found if one is not None))


def _predicate(name: str, value: str, prefix: str) -> Predicate | None:
    def path(text: str) -> tuple[str, ...]:
        return tuple(text.removeprefix(prefix).split("."))

    match name:
        case "has_key":
            return _present(path(value))
        case "key_missing":
            return _not(_present(path(value)))
        case "has_value":
            return _filled(path(value))
        case "value_missing" | "missing_value":
            return _not(_filled(path(value)))
    if name.startswith("filter_not_"):
        return _not(_equal(path(name.removeprefix("filter_not_")), value))
    if name.startswith("filter_"):
        return _equal(path(name.removeprefix("filter_")), value)
    return None


def _present(path: tuple[str, ...]) -> Predicate:
    return lambda document: _value(document, path) is not _ABSENT


def _filled(path: tuple[str, ...]) -> Predicate:
    return lambda document: _value(document, path) not in (_ABSENT, None, "", [], {})


def _not(predicate: Predicate) -> Predicate:
    return lambda document: not predicate(document)


def _equal(path: tuple[str, ...], wanted: str) -> Predicate:
    """Equal as text, equal as decoded, or one of a JSON list; an absent key is an empty text."""
    meant = decoded(wanted)

    def equal(document: Document) -> bool:
        value = _value(document, path)
        if value is _ABSENT:
            return wanted == ""
        if _text(value) == wanted or (meant is not _ABSENT and _same(value, meant)):
            return True
        return isinstance(meant, list) and any(_same(value, one) for one in meant)

    return equal


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def decoded(text: str) -> Any:
    """What a value of the query is as JSON, if it is any."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return _ABSENT


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _value(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return _ABSENT
        document = document[key]
    return document
