"""TCP load balancer like a Kubernetes Service: new connections go to the members in turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from service.embedded.ports import LOOPBACK, find_free

_CHUNK = 65_536


class Balancer:
    """A dismissed member gets no new connections and keeps those that it has."""

    def __init__(self) -> None:
        [self.port] = find_free(LOOPBACK)
        self._members: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> "AsyncIterator[Balancer]":
        balancer = cls()
        listener = await asyncio.start_server(balancer._serve, LOOPBACK, balancer.port)
        try:
            yield balancer
        finally:
            listener.close()
            for task in balancer._tasks:
                task.cancel()
            await asyncio.gather(*balancer._tasks, return_exceptions=True)

    def admit(self, port: int) -> None:
        self._members.append(port)

    def dismiss(self, port: int) -> None:
        self._members.remove(port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._members.append(port := self._members.pop(0))
        try:
            from_member, to_member = await asyncio.open_connection(LOOPBACK, port)
            try:
                await asyncio.gather(_pump(reader, to_member), _pump(from_member, writer))
            finally:
                to_member.close()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        sink.write(chunk)
        await sink.drain()
    # The other direction may still carry data.
    with suppress(OSError):
        sink.write_eof()
