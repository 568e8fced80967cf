"""Pages of lists, and the cursors at which they start."""

from typing import Annotated, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

Item = TypeVar("Item")
Key = TypeVar("Key")


class NameCursor(msgspec.Struct, frozen=True, array_like=True):
    """Sort key of the first row of a page. The id separates equal names."""

    name: Annotated[str, Meta(max_length=512, pattern=r"\A[^\0]*\Z")]
    id: UUID = UUID(int=0)


class Page(msgspec.Struct, Generic[Item, Key], frozen=True, kw_only=True):
    """Rows of a list, and the cursor of the next page. On the last page the cursor is None."""

    items: list[Item]
    next: Key | None
