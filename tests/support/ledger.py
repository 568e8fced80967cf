"""Ledger of the answers that clients got for each message. An audit checks it."""

import hashlib
from uuid import uuid4

import msgspec

from tests.support.running import AccountClient

_SIZES = (*[500, 1_000, 2_000, 4_000, 8_000] * 3, 300_000)


class Entry(msgspec.Struct, kw_only=True):
    """One message and its copies. `marker` is their caller name.

    `least` and `most` bound the number of listed copies: a request without an answer may have been
    executed or not. `media_id` is the id that must exist; empty while a request may change it.
    """

    marker: str
    vmbox_id: str
    media_id: str = ""
    least: int = 0
    most: int = 0

    @property
    def audio(self) -> bytes:
        """Returns bytes that are unique to this message."""
        seed = hashlib.shake_256(self.marker.encode())
        return seed.digest(_SIZES[int(self.marker[:4], 16) % len(_SIZES)])


class Ledger:
    """The entries of one account."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.vmboxes: list[str] = []

    async def open_vmboxes(self, account: AccountClient, count: int) -> None:
        self.vmboxes += [await account.a_vmbox() for _ in range(count)]

    def begin(self, vmbox_id: str) -> Entry:
        """Records a message that is about to be stored."""
        entry = Entry(marker=uuid4().hex, vmbox_id=vmbox_id, most=1)
        self.entries[entry.marker] = entry
        return entry

    @property
    def acknowledged(self) -> int:
        return sum(entry.least for entry in self.entries.values())
