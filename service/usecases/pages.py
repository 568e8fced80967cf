"""Pages that are filled after filtering: reads chunks until a page is full."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from service.domain.page import Item, Key, Page

CHUNK = 500
# Time for which a filter may use the event loop before other requests get a turn.
_TURN_S = 0.005


async def read_page(
    read: Callable[[Key | None, int], Awaitable[list[Item]]],
    key_of: Callable[[Item], Key],
    start: Key | None,
    limit: int,
    predicate: Callable[[Item], bool] | None = None,
) -> Page[Item, Key]:
    """Returns up to `limit` items from `start` on for which `predicate` is true.

    `read` returns at most the given number of items, in order, from a key on (None: from the
    beginning); the item with that key comes first.
    """
    if predicate is None:
        return _page_of(await read(start, limit + 1), key_of, limit)
    accepted: list[Item] = []
    while len(accepted) <= limit:
        chunk = await read(start, CHUNK + 1)
        accepted += await _filtered(chunk[:CHUNK], predicate)
        if len(chunk) <= CHUNK:
            break
        start = key_of(chunk[CHUNK])
    return _page_of(accepted, key_of, limit)


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


async def _filtered(items: list[Item], predicate: Callable[[Item], bool]) -> list[Item]:
    accepted: list[Item] = []
    turn_ends = time.monotonic() + _TURN_S
    for item in items:
        if predicate(item):
            accepted.append(item)
        if time.monotonic() >= turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + _TURN_S
    return accepted


def _page_of(items: list[Item], key_of: Callable[[Item], Key], limit: int) -> Page[Item, Key]:
    following = key_of(items[limit]) if len(items) > limit else None
    return Page(items=items[:limit], next=following)
