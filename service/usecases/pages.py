"""Pages that are full after filtering: reads on, a chunk at a time, until there are enough."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key")

CHUNK = 500


async def filled_page(
    read: Callable[[Key | None, int], Awaitable[list[Item]]],
    key_of: Callable[[Item], Key],
    start: Key | None,
    limit: int,
    keep: Callable[[Item], bool] | None = None,
) -> tuple[list[Item], Key | None]:
    """Up to `limit` items that `keep` accepts, from `start` on, and where the next page begins.

    `read` gives the items from a key on (None: from the beginning), at most as many as asked for,
    the one with that key first.
    """
    if keep is None:
        found = await read(start, limit + 1)
        return found[:limit], key_of(found[limit]) if len(found) > limit else None
    kept: list[Item] = []
    while True:
        chunk = await read(start, CHUNK + 1)
        kept += [item for item in chunk[:CHUNK] if keep(item)]
        if len(kept) > limit:
            return kept[:limit], key_of(kept[limit])
        if len(chunk) <= CHUNK:
            return kept, None
        start = key_of(chunk[CHUNK])
