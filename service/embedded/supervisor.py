"""Restarts child processes that end; fails if one ends too often."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence

from service.embedded.child import Child, Command
from service.embedded.errors import EmbeddedError
from service.embedded.server import Server
from service.logs import get_logger

log = get_logger(__name__)

_MAX_ENDS, _WINDOW_S = 5, 30.0
_FIRST_BACKOFF_S = 0.1


class ChildProcess:
    """Process of the service; it inherits stdout and stderr."""

    def __init__(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], lock: int
    ) -> None:
        self.name = name
        self._command = Command(argv=argv, environment=environment, lock=lock)
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    async def start(self) -> None:
        self._child = Child(self.name, self._command)
        await self._child.start()

    async def wait(self) -> int:
        return await self._child.wait() if self._child else 0

    async def stop(self) -> None:
        if self._child:
            await self._child.stop()


Supervised = Server | ChildProcess


async def supervise(child: Supervised) -> None:
    """Restarts a child whenever it ends. Raises EmbeddedError if it ends too often."""
    ends: deque[float] = deque(maxlen=_MAX_ENDS)
    while True:
        reason = f"exit code {await child.wait()}"
        while not child.alive:
            _record_end(child, ends, reason)
            log.warning("restarting child process", child=child.name, reason=reason)
            await asyncio.sleep(_FIRST_BACKOFF_S * 2 ** (len(ends) - 1))
            try:
                await child.start()
            except EmbeddedError as error:
                reason = str(error)


def _record_end(child: Supervised, ends: deque[float], reason: str) -> None:
    now = time.monotonic()
    while ends and now - ends[0] > _WINDOW_S:
        ends.popleft()
    ends.append(now)
    if len(ends) == _MAX_ENDS:
        raise EmbeddedError(
            f"{child.name} ended {_MAX_ENDS} times within {_WINDOW_S:.0f} s. Last reason: "
            f"{reason.rstrip('.')}."
        )
