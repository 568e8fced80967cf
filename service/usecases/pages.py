"""Pages that are filled after filtering: reads chunks until a page is full."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Protocol, TypeVar, cast

import msgspec

from service.domain.page import Item, Key, Page
from service.domain.schema import Document

CHUNK = 500
DOCUMENTS = 64
"""Complete documents, of up to 64 KiB each, that are read at once."""
MAX_PAGE_BYTES = 4 * 1024**2
_TURN_S = 0.005


class _Record(Protocol):
    @property
    def document(self) -> Document: ...


Documented = TypeVar("Documented", bound=_Record)


async def read_page(
    read: Callable[[Key | None, int], Awaitable[list[Item]]],
    key_of: Callable[[Item], Key],
    start: Key | None,
    limit: int,
    predicate: Callable[[Item], bool] | None = None,
    *,
    chunk: int | None = None,
    reduce: Callable[[Item], Item] | None = None,
    size_of: Callable[[Item], int] | None = None,
) -> Page[Item, Key]:
    """Returns up to `limit` items from `start` on for which `predicate` is true.

    `read` gets a key and a number. It returns at most this number of items in order, from the item
    with the key on, or from the first one if the key is None. It is called for at most `chunk`
    items, which `reduce` makes smaller. The page also ends after 4 MiB by `size_of`.
    """
    if predicate is None and size_of is None:
        # One read returns the page.
        items = await read(start, limit + 1)
        following = key_of(items[limit]) if len(items) > limit else None
        return Page(items=items[:limit], next=following)
    accepted: list[Item] = []
    size, turn = 0, Turn()
    while True:
        most = limit - len(accepted) if predicate is None else CHUNK
        count = min(most, chunk or most)
        if not count:
            return Page(items=accepted, next=start)
        items = await read(start, count + 1)
        for item in items[:count]:
            await turn.yield_if_over()
            if predicate is not None and not predicate(item):
                continue
            if len(accepted) == limit or size >= MAX_PAGE_BYTES:
                return Page(items=accepted, next=key_of(item))
            accepted.append(reduce(item) if reduce else item)
            size += size_of(accepted[-1]) if size_of else 0
        if len(items) <= count:
            return Page(items=accepted, next=None)
        start = key_of(items[count])


async def read_documents(
    read: Callable[[Key | None, int], Awaitable[list[Documented]]],
    key_of: Callable[[Documented], Key],
    start: Key | None,
    limit: int,
    predicate: Callable[[Documented], bool] | None,
    keys: Collection[str] | None,
    *,
    chunk: int | None = DOCUMENTS,
) -> Page[Documented, Key]:
    """Returns a page of records, as `read_page`. `keys` restricts the keys of their documents."""

    def reduce(record: Documented) -> Documented:
        if keys is None:
            return record
        document = {key: value for key, value in record.document.items() if key in keys}
        reduced: Documented = msgspec.structs.replace(cast(Any, record), document=document)
        return reduced

    def size_of(record: Documented) -> int:
        return len(msgspec.json.encode(record.document))

    return await read_page(
        read, key_of, start, limit, predicate, chunk=chunk, reduce=reduce, size_of=size_of
    )


async def iterate_pages(
    read: Callable[[Key | None], Awaitable[Page[Item, Key]]],
) -> AsyncIterator[Item]:
    """Yields the items of all pages; `read` returns the page that starts at a key."""
    start: Key | None = None
    while True:
        page = await read(start)
        for item in page.items:
            yield item
        if page.next is None:
            return
        start = page.next


class Turn:
    """Time for which a loop may use the event loop before other tasks run."""

    def __init__(self) -> None:
        self._ends = time.monotonic() + _TURN_S

    async def yield_if_over(self) -> None:
        if time.monotonic() >= self._ends:
            await asyncio.sleep(0)
            self._ends = time.monotonic() + _TURN_S
