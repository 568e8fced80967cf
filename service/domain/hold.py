"""Legal holds: messages that must not be deleted or replaced."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from service.domain.formats import NO_NUL
from service.domain.message import MAX_ADDRESS, Message
from service.domain.schema import Field

MAX_HOLDS = 100
MAX_VMBOXES = 100
MAX_REASON = 2_000

FIELDS: dict[str, Field] = {
    "name": Field(required=True, min_length=1, max_length=128, format=NO_NUL),
    "reason": Field(required=True, min_length=1, max_length=MAX_REASON, format=NO_NUL),
    "vmbox_ids": Field(
        types=("array",),
        items=Field(min_length=32, max_length=32),
        min_items=1,
        max_items=MAX_VMBOXES,
    ),
    "caller_id_number": Field(min_length=1, max_length=MAX_ADDRESS, format=NO_NUL),
    "created_from": Field(types=("integer", "string")),
    "created_to": Field(types=("integer", "string")),
}


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Legal hold. It cannot be changed, only released. None means no restriction.

    It covers the messages of the boxes `vmbox_ids` from a caller, received from `received_from` to
    `received_to` inclusive.
    """

    account_id: UUID
    hold_id: UUID
    name: str
    reason: str
    vmbox_ids: tuple[UUID, ...] | None = None
    caller_id_number: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None
    created_at: datetime
    revision: int = 1

    @property
    def modified_at(self) -> datetime:
        return self.created_at


class HeldMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Message under a hold. `removed_at` is None while it is in its box."""

    message: Message
    removed_at: datetime | None


class HeldCursor(msgspec.Struct, frozen=True, array_like=True):
    """Sort key of the first message of a page of held messages."""

    month: Annotated[int, Meta(ge=0, lt=2**31)]
    id: UUID


class HeldPage(msgspec.Struct, frozen=True, kw_only=True):
    """Held messages among the next messages of an account, and the start of the next page."""

    messages: list[HeldMessage]
    next: HeldCursor | None
