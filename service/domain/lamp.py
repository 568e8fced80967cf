"""A message-waiting lamp: the level that a box's counts ask for, and which of two is later."""

from typing import Self
from uuid import UUID

import msgspec


class LampKey(msgspec.Struct, frozen=True):
    """Whose lamp: an account's box."""

    account_id: UUID
    vmbox_id: UUID


class Lamp(msgspec.Struct, frozen=True, kw_only=True):
    """A level. Per box the one with the highest (`epoch`, `sequence`) counts."""

    mailbox: str
    new: int
    saved: int
    waiting: bool
    epoch: int
    sequence: int

    @classmethod
    def at(cls, *, mailbox: str, new: int, saved: int, epoch: int, sequence: int) -> Self:
        """The level for these counts: lit while there is a new message."""
        return cls(
            mailbox=mailbox,
            new=new,
            saved=saved,
            waiting=new > 0,
            epoch=epoch,
            sequence=sequence,
        )

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.sequence
