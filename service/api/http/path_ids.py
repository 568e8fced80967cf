"""Ids in request paths."""

from collections.abc import Callable
from typing import TypeVar

from service.domain.errors import NotFound

Id = TypeVar("Id")


def id_of_path(parse: Callable[[str], Id | None], missing: type[NotFound], text: str) -> Id:
    """Parses an id in a path. Raises `missing` if the id is malformed, as if it did not exist."""
    parsed = parse(text)
    if parsed is None:
        raise missing(text[:64])
    return parsed
