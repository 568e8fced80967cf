"""Detection of a server that answers but cannot store, such as one cut off from its cluster."""

import time
from collections.abc import Callable, Sequence

# Longer than the election of a new leader of the stream, which takes about 5 s.
_TOLERATED_S = 8.0


class FailingServer:
    """Time since which all requests to the connected server fail.

    A server without the majority of its cluster keeps its clients, but stores nothing for them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    def record_success(self) -> None:
        self._since = None

    def record_failure(self) -> bool:
        """Returns whether requests have failed for so long that another server may be better."""
        now = self._clock()
        if self._since is None:
            self._since = now
        if now - self._since < _TOLERATED_S:
            return False
        self._since = None
        return True


def order_servers(servers: Sequence[str], avoided: str) -> list[str]:
    """Puts the servers at the address `avoided` last."""
    return sorted(servers, key=lambda server: bool(avoided) and server.endswith(avoided))
