"""Functions to write imported records: retries, documents with invalid fields, audio."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from service.domain.errors import Invalid, NumberTaken, Unavailable
from service.domain.schema import Document
from service.transfer.source import OpenAudio, ReceivedAudio
from service.usecases.uploads import Spool, Upload

Result = TypeVar("Result")

UNKNOWN_TYPE = "application/octet-stream"
_RETRY_DELAYS_S = (0.2, 1.0, 3.0, 10.0)


async def retry_unavailable(work: Callable[[], Awaitable[Result]]) -> Result:
    """Runs `work` up to five times while database or store are unavailable. Raises Unavailable."""
    for delay_s in _RETRY_DELAYS_S:
        try:
            return await work()
        except Unavailable:
            await asyncio.sleep(delay_s)
    return await work()


async def without_invalid_fields(
    document: Document, create: Callable[[Document], Awaitable[Result]]
) -> tuple[Result, str]:
    """Creates a record without the fields of its document that this service does not accept.

    Returns the record, and a text with the fields that were left out. Raises Invalid when the
    record needs such a field.
    """
    first: Invalid | None = None
    while True:
        try:
            return await create(document), "" if first is None else describe_problems(first)
        except Invalid as error:
            first = first or error
            paths = [problem.field.split(".") for problem in error.problems]
            if isinstance(error, NumberTaken):
                paths = [["aliases"]]
            remaining = _remove(document, paths)
            if remaining == document:
                raise first from None
            document = remaining


def describe_problems(error: Invalid) -> str:
    """Returns the problems without values, which may be personal data."""
    return ", ".join(sorted({f"{problem.field} ({problem.rule})" for problem in error.problems}))


def _remove(value: Any, paths: list[list[str]]) -> Any:
    """Returns an object or a list without the values at `paths`."""
    below: dict[str, list[list[str]]] = {}
    for path in paths:
        below.setdefault(path[0].replace("%2E", "."), []).append(path[1:])
    if isinstance(value, list):
        kept = [(str(index), item) for index, item in enumerate(value)]
        return [_remove_below(item, below.get(key)) for key, item in kept if _keeps(below, key)]
    if isinstance(value, dict):
        return {
            key: _remove_below(item, below.get(key))
            for key, item in value.items()
            if _keeps(below, key)
        }
    return value


def _keeps(below: dict[str, list[list[str]]], key: str) -> bool:
    return [] not in below.get(key, ())


def _remove_below(value: Any, paths: list[list[str]] | None) -> Any:
    return value if paths is None else _remove(value, paths)


@asynccontextmanager
async def spool_audio(
    open_bytes: OpenAudio, max_bytes: int, content_type: str | None, filename: str | None
) -> AsyncIterator[Upload]:
    """Reads audio of a source into a spool. Raises SourceError, AudioTooLarge, Unavailable."""
    with Spool(max_bytes) as spool:
        stream = open_bytes()
        async for chunk in stream:
            await spool.write(chunk)
        if isinstance(stream, ReceivedAudio):
            content_type = stream.content_type or content_type
        yield Upload(spool, content_type or UNKNOWN_TYPE, filename)
