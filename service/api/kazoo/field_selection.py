"""Selection of fields by `?fields=`: a comma-separated list of dotted paths."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from litestar.connection import ASGIConnection
from msgspec import to_builtins

from service.domain.errors import Invalid, Rule
from service.domain.schema import Document

MAX_FIELDS = 50
MAX_FIELDS_LENGTH = 2_048
NOT_SUPPORTED = "This path does not support fields; remove the parameter"

AnyConnection = ASGIConnection[Any, Any, Any, Any]
Paths = Sequence[tuple[str, ...]]


def check_fields(request: AnyConnection, *, is_supported: bool) -> None:
    """Checks `fields` before the request has an effect. Raises Invalid."""
    text = _fields_of(request)
    if text is None:
        return
    if not is_supported:
        raise Invalid.of("fields", Rule.WRONG_FORMAT, message=NOT_SUPPORTED)
    if len(text) > MAX_FIELDS_LENGTH:
        raise Invalid.of("fields", Rule.MAX_LENGTH, target=MAX_FIELDS_LENGTH)
    count = text.count(",") + 1
    if count > MAX_FIELDS:
        raise Invalid.of("fields", Rule.MAX_ITEMS, target=MAX_FIELDS, value=count)


def select_fields(request: AnyConnection, data: Any) -> Any:
    """Returns the selected fields of an object, or of each object of a list.

    Without `fields`, returns all fields.
    """
    if isinstance(data, list | tuple):
        return select_fields_of_rows(request, data)
    (selected,) = select_fields_of_rows(request, [data])
    return selected


def select_fields_of_rows(request: AnyConnection, rows: Sequence[Any]) -> Sequence[Any]:
    """Returns rows with the selected fields. Without `fields`, rows have all fields."""
    text = _fields_of(request)
    if not text:
        return rows
    paths = [tuple(path.strip().split(".")) for path in text.split(",")]
    documents = [to_builtins(row) for row in rows]
    return [_select(each, paths) if isinstance(each, dict) else each for each in documents]


def _fields_of(request: AnyConnection) -> str | None:
    # Parsing the query of each request would cost more than this check.
    if b"fields=" not in request.scope["query_string"]:
        return None
    text: str | None = request.query_params.get("fields")
    return text


def _select(document: Document, paths: Iterable[tuple[str, ...]]) -> Document:
    rests: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for first, *rest in paths:
        rests[first].append(tuple(rest))
    selected: Document = {}
    for key in document.keys() & rests.keys():
        if () in rests[key]:
            selected[key] = document[key]
        elif isinstance(document[key], dict):
            selected[key] = _select(document[key], rests[key])
    return selected
