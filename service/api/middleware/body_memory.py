"""Bounds on the bodies that a process keeps in memory, for one request and for all."""

from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

from litestar.types import Scope

from service.api.middleware.access_log import RequestRecord
from service.domain.errors import TooManyBodies
from service.usecases.slots import SharedSlots

ANONYMOUS_BYTES = 64 * 1024
"""Largest body of a request without valid credentials in its head."""
# Bytes of each body that are not counted, so that small requests are never refused.
FREE_BYTES = 8 * 1024

_TOTAL_BYTES = 64 * 1024**2
_BYTES_PER_OWNER = 16 * 1024**2


def create_slots() -> SharedSlots:
    """Returns the slots, one per byte, that all bodies of the process share."""
    return SharedSlots(_TOTAL_BYTES, _BYTES_PER_OWNER, TooManyBodies)


class BodyMemory:
    """Memory of one body. It counts for the caller's account, or for the peer before sign-in."""

    def __init__(
        self, slots: SharedSlots, record: RequestRecord, find_peer: Callable[[], str]
    ) -> None:
        self._slots = slots
        self._record = record
        self._find_peer = find_peer
        self._size = FREE_BYTES
        self._held: defaultdict[UUID | str, int] = defaultdict(int)

    def hold(self, size: int) -> None:
        """Records that `size` bytes of the body are in memory. Raises TooManyBodies."""
        more = size - self._size
        if more > 0:
            owner = self._record.account_id or self._find_peer()
            try:
                self._slots.acquire(owner, count=more)
            except TooManyBodies:
                # The request ends now, although the rest of its body may still be drained.
                self.release()
                raise
            self._held[owner] += more
            self._size = size

    def release(self) -> None:
        for owner, count in self._held.items():
            self._slots.release(owner, count)
        self._held.clear()


# For requests without a body.
_NO_BODY = BodyMemory(SharedSlots(0, 0, TooManyBodies), RequestRecord(method="", started_at=0), str)


def body_memory_of(scope: Scope) -> BodyMemory:
    """Returns the memory of the body of the request."""
    memory: BodyMemory = scope["state"].get("body_memory", _NO_BODY)
    return memory
