"""FairSlots: slots that owners share in turn, with a bounded queue."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

from service.domain.errors import VoicemailError
from service.metrics import CONVERSION_QUEUE


class FairSlots:
    """`size` slots and a queue of at most `queue` waiters.

    The queue serves its owners in turn. While there are two or more slots, one owner never holds
    all of them; it may have a quarter of the queue. `refusal` creates the error that is raised if
    the queue is full.
    """

    def __init__(self, size: int, queue: int, refusal: Callable[[], VoicemailError]) -> None:
        self._free = size
        self._share = max(size - 1, 1)
        self._queue = queue
        self._queue_share = max(queue // 4, 1)
        self._refusal = refusal
        self._held: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiter_count = 0

    @asynccontextmanager
    async def hold(self, owner: Hashable) -> AsyncIterator[None]:
        """Holds a slot while the block runs. Raises the refusal."""
        await self._acquire(owner)
        try:
            yield
        finally:
            self._release(owner)

    async def _acquire(self, owner: Hashable) -> None:
        if self._may_take(owner):
            self._take(owner)
            return
        waiters = self._waiting.get(owner, deque())
        if self._waiter_count >= self._queue or len(waiters) >= self._queue_share:
            raise self._refusal()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, waiters).append(turn)
        self._count_waiter(1)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(owner)
            else:
                self._forget(owner, turn)
            raise

    def _count_waiter(self, change: int) -> None:
        self._waiter_count += change
        CONVERSION_QUEUE.inc(change)

    def _may_take(self, owner: Hashable) -> bool:
        return self._free > 0 and self._held[owner] < self._share

    def _take(self, owner: Hashable) -> None:
        self._free -= 1
        self._held[owner] += 1

    def _release(self, owner: Hashable) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._wake_next()

    def _wake_next(self) -> None:
        for owner in list(self._waiting):
            if self._may_take(owner):
                turn = self._waiting[owner][0]
                self._forget(owner, turn)
                if owner in self._waiting:
                    self._waiting.move_to_end(owner)
                self._take(owner)
                turn.set_result(None)
                return

    def _forget(self, owner: Hashable, turn: asyncio.Future[None]) -> None:
        self._waiting[owner].remove(turn)
        self._count_waiter(-1)
        if not self._waiting[owner]:
            del self._waiting[owner]
