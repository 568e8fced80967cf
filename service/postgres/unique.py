"""Unique constraints that the document of a request can violate."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import asyncpg

from service.domain.errors import Invalid, Rule


@contextmanager
def report_taken(fields: Mapping[str, str]) -> Iterator[None]:
    """Raises Invalid with the field of a violated constraint. `fields` has it by constraint."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        field = fields.get(error.constraint_name or "")
        if field is None:
            raise
        raise Invalid.of(field, Rule.UNIQUE) from None
