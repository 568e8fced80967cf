"""Keeps child processes alive: who ends is started again, who ends all the time ends the run."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence

from service.embedded.child import Child, Command
from service.embedded.errors import EmbeddedError
from service.embedded.server import Server
from service.logs import get_logger

log = get_logger(__name__)

_ENDS, _WITHIN_S = 5, 30.0
_FIRST_PAUSE_S = 0.1


class ChildProcess:
    """One of the service's own processes; its output is ours, untouched."""

    def __init__(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], held: int
    ) -> None:
        self.name = name
        self._command = Command(argv=argv, environment=environment, held=held)
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


Part = Server | ChildProcess


async def keep(part: Part) -> None:
    """Starts the part again whenever it ends; raises when that happens too often."""
    ends: deque[float] = deque(maxlen=_ENDS)
    while True:
        reason = f"exit code {await part.wait()}"
        while not part.alive:
            _count(part, ends, reason)
            log.warning("A child ended and is started again.", child=part.name, reason=reason)
            await asyncio.sleep(_FIRST_PAUSE_S * 2 ** (len(ends) - 1))
            try:
                await part.start()
            except EmbeddedError as error:
                reason = str(error)


def _count(part: Part, ends: deque[float], reason: str) -> None:
    now = time.monotonic()
    while ends and now - ends[0] > _WITHIN_S:
        ends.popleft()
    ends.append(now)
    if len(ends) == _ENDS:
        raise EmbeddedError(
            f"{part.name} ended {_ENDS} times within {_WITHIN_S:.0f} s, the last time: "
            f"{reason.rstrip('.')}."
        )
