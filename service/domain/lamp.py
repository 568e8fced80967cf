"""Message-waiting lamps (MWI): the state that the message counts of a mailbox require."""

from typing import Self
from uuid import UUID

import msgspec


class LampKey(msgspec.Struct, frozen=True):
    """Key of a lamp: account and mailbox."""

    account_id: UUID
    vmbox_id: UUID


class Lamp(msgspec.Struct, frozen=True, kw_only=True):
    """Lamp state. The lamp with the highest `version` is the current state of a mailbox."""

    mailbox: str
    new: int
    saved: int
    waiting: bool
    epoch: int
    sequence: int

    @classmethod
    def of(cls, *, mailbox: str, new: int, saved: int, epoch: int, sequence: int) -> Self:
        """Returns the lamp for these counts: `waiting` while there is a new message."""
        return cls(
            mailbox=mailbox,
            new=new,
            saved=saved,
            waiting=new > 0,
            epoch=epoch,
            sequence=sequence,
        )

    @property
    def version(self) -> tuple[int, int]:
        return self.epoch, self.sequence
