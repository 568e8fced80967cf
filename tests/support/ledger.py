"""What clients were told, message by message: the record that an audit holds the service to."""

import hashlib
from uuid import uuid4

import msgspec

from tests.support.running import AccountClient

_SIZES = (*[500, 1_000, 2_000, 4_000, 8_000] * 3, 300_000)


class Entry(msgspec.Struct, kw_only=True):
    """One message and its copies, told by `marker`, which is their caller's name.

    `least` and `most` are how many of them may be listed: a request without an answer may have
    been done or not. `media_id` is where it must be, unless something else was asked of it since.
    """

    marker: str
    vmbox_id: str
    media_id: str = ""
    least: int = 0
    most: int = 0

    @property
    def audio(self) -> bytes:
        """Bytes that no other message has; made again whenever they are needed."""
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
        """A message that is about to be stored."""
        entry = Entry(marker=uuid4().hex, vmbox_id=vmbox_id, most=1)
        self.entries[entry.marker] = entry
        return entry

    @property
    def acknowledged(self) -> int:
        return sum(entry.least for entry in self.entries.values())
