"""TCP load balancer like a Kubernetes Service: new connections go to the members in turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from service.embedded.ports import LOOPBACK, find_free

_CHUNK = 65_536


class Balancer:
    """Balancer on one port. A member that does not accept a connection is skipped.

    A dismissed member gets no new connections and keeps those that it has.
    """

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        self.port = port
        self._host = host
        self._members: list[int] = []
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> "AsyncIterator[Balancer]":
        """Opens a balancer on a free port."""
        [port] = find_free(LOOPBACK)
        balancer = cls(port)
        await balancer.start()
        try:
            yield balancer
        finally:
            await balancer.stop()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._serve, self._host, self.port)

    async def stop(self) -> None:
        """Closes the port and all connections."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def admit(self, port: int) -> None:
        self._members.append(port)

    def dismiss(self, port: int) -> None:
        self._members.remove(port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            from_member, to_member = await self._connect()
            try:
                await asyncio.gather(_pump(reader, to_member), _pump(from_member, writer))
            finally:
                to_member.close()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(len(self._members)):
            self._members.append(port := self._members.pop(0))
            with suppress(OSError):
                return await asyncio.open_connection(LOOPBACK, port)
        raise ConnectionError("no member accepts connections")


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        sink.write(chunk)
        await sink.drain()
    # The other direction may still carry data.
    with suppress(OSError):
        sink.write_eof()
