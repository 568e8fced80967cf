"""Slots for expensive work in one process. One account can hold only a share of them."""

import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

from service.domain.errors import TooManyStreams, VoicemailError
from service.metrics import EVENT_STREAMS


class SharedSlots:
    """`size` slots. Each owner can hold at most `share` of them. `acquire` never waits.

    An owner is an account, a token or a peer address. `refusal` creates the error that is raised
    if no slot is free. Memory is bounded by the slots in use.
    """

    def __init__(self, size: int, share: int, refusal: Callable[[], VoicemailError]) -> None:
        self.size = size
        self.used = 0
        self._share = share
        self._refusal = refusal
        self._held: Counter[Hashable] = Counter()

    def acquire(self, owner: Hashable, share: int | None = None, count: int = 1) -> None:
        """Takes slots, up to `share` if it is given. Raises the refusal if too few are free."""
        share = self._share if share is None else share
        if self.used + count > self.size or self._held[owner] + count > share:
            raise self._refusal()
        self.used += count
        self._held[owner] += count

    def release(self, owner: Hashable, count: int = 1) -> None:
        self.used -= count
        self._held[owner] -= count
        if not self._held[owner]:
            del self._held[owner]

    @contextmanager
    def hold(self, owner: Hashable, share: int | None = None) -> Iterator[None]:
        """Holds a slot while the block runs. Raises the refusal."""
        self.acquire(owner, share)
        try:
            yield
        finally:
            self.release(owner)


class StreamSlots:
    """Slots for event streams: in total, for each account, and for each token. 0 is no limit."""

    def __init__(self, total: int, per_account: int, per_token: int) -> None:
        size = total or sys.maxsize
        self._accounts = SharedSlots(size, per_account or size, TooManyStreams)
        self._tokens = SharedSlots(size, per_token or size, TooManyStreams)

    def acquire(
        self, account_id: UUID, token: str, per_account: int | None = None
    ) -> Callable[[], None]:
        """Takes a slot and returns the function that releases it. Raises TooManyStreams.

        `per_account` is the limit of this account, if it has one.
        """
        share = self._accounts.size if per_account == 0 else per_account
        with ExitStack() as stack:
            stack.enter_context(self._accounts.hold(account_id, share))
            stack.enter_context(self._tokens.hold(token))
            EVENT_STREAMS.inc()
            stack.callback(EVENT_STREAMS.dec)
            return stack.pop_all().close
