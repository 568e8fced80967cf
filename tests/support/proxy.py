"""TCP proxy in front of one server: a test holds, freezes or cuts its connections."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from service.embedded.ports import LOOPBACK, find_free
from tests.support.waiting import DEADLINE_S

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)


class HoldPoint:
    """Point at which matching bytes are held until the test releases them.

    It is reached when the client sends `asks`; with `answers`, when the server then sends that on
    the same connection: the server has executed the request and the client does not know it yet.
    `nth` counts matches over all connections.
    """

    def __init__(self, asks: bytes, answers: bytes | None, nth: int) -> None:
        self._asks = asks
        self._answers = answers
        self._left = nth
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self, within_s: float = DEADLINE_S) -> None:
        """Waits until the point is reached."""
        async with asyncio.timeout(within_s):
            await self._reached.wait()

    def release(self) -> None:
        self._released.set()

    async def pass_client(self, link: "Link", chunk: bytes) -> None:
        """Returns when bytes of the client may pass."""
        times = link.from_client.count(self, self._asks, chunk)
        if times and self._answers is not None:
            link.held_points.add(self)
            link.from_server.forget(self)
        elif times:
            await self._come(times)

    async def pass_server(self, link: "Link", chunk: bytes) -> None:
        """Returns when bytes of the server may pass."""
        if self in link.held_points and self._answers is not None:
            times = link.from_server.count(self, self._answers, chunk)
            if times:
                link.held_points.discard(self)
                await self._come(1)

    async def _come(self, times: int) -> None:
        before, self._left = self._left, self._left - times
        if before > 0 >= self._left:
            self._reached.set()
            await self._released.wait()


class _Tails:
    """Ends of the bytes in one direction, to find matches across two chunks."""

    def __init__(self) -> None:
        self._tails: dict[HoldPoint, bytes] = {}

    def count(self, stop: HoldPoint, expected: bytes, chunk: bytes) -> int:
        text = self._tails.get(stop, b"") + chunk
        self._tails[stop] = text[max(0, len(text) - len(expected) + 1) :]
        return text.count(expected)

    def forget(self, stop: HoldPoint) -> None:
        self._tails.pop(stop, None)


class Link:
    """Connection of a client, and the proxy's connection to the server for it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.from_client, self.from_server = _Tails(), _Tails()
        self.held_points: set[HoldPoint] = set()
        self.lost = False
        self.client_closed = False
        self.ends = [client]

    def close(self) -> None:
        for end in self.ends:
            end.close()

    def cut(self) -> None:
        """Resets both connections."""
        for end in self.ends:
            connection: socket.socket | None = end.get_extra_info("socket")
            if connection is not None:
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class Proxy:
    """Listens on `port` for a server on another port of this machine."""

    def __init__(self, target: int) -> None:
        [self.port] = find_free(LOOPBACK)
        self.delay_s = 0.0
        """Delay of each chunk in both directions."""
        self._target = target
        self._listener: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._stops: list[HoldPoint] = []

    @classmethod
    @asynccontextmanager
    async def before(cls, target: int) -> "AsyncIterator[Proxy]":
        proxy = cls(target)
        await proxy.admit()
        try:
            yield proxy
        finally:
            await proxy.close()

    @contextmanager
    def hold_at(
        self, asks: bytes, answers: bytes | None = None, nth: int = 1
    ) -> Iterator[HoldPoint]:
        """Holds matching bytes, and only those, until the block ends."""
        stop = HoldPoint(asks, answers, nth)
        self._stops.append(stop)
        try:
            yield stop
        finally:
            self._stops.remove(stop)
            stop.release()

    @property
    def is_at_rest(self) -> bool:
        """False while the server works on a request whose client has closed its connection."""
        return not any(link.client_closed for link in self._links)

    def freeze(self) -> None:
        """Stops all traffic; connections stay open, and new ones are accepted."""
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    def cut(self) -> None:
        """Resets every connection; new ones are accepted."""
        for link in list(self._links):
            link.cut()

    def lose(self) -> None:
        """Stops the traffic of the present connections for ever; new ones work."""
        for link in self._links:
            link.lost = True

    async def refuse(self) -> None:
        """Stops listening and resets every connection."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    async def admit(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, LOOPBACK, self.port, reuse_address=True
            )

    async def restore(self) -> None:
        """Restores normal traffic."""
        for stop in self._stops:
            stop.release()
        self.delay_s = 0.0
        self.thaw()
        await self.admit()

    async def close(self) -> None:
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = Link(writer)
        self._links.add(link)
        try:
            await self._open.wait()
            await self._connect(link, reader, writer)
            link.close()
        except (OSError, asyncio.CancelledError):
            link.cut()
        finally:
            self._links.discard(link)
            self._tasks.discard(task)

    async def _connect(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from_server, to_server = await asyncio.open_connection(LOOPBACK, self._target)
        link.ends.append(to_server)
        pumps = [
            asyncio.create_task(self._pump(link, reader, to_server, of_client=True)),
            asyncio.create_task(self._pump(link, from_server, writer, of_client=False)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        link: Link,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        of_client: bool,
    ) -> None:
        while chunk := await source.read(_CHUNK):
            for stop in list(self._stops):
                await (stop.pass_client if of_client else stop.pass_server)(link, chunk)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._open.wait()
            if link.lost:
                await asyncio.Event().wait()
            sink.write(chunk)
            await sink.drain()
        if link.lost:
            await asyncio.Event().wait()
        await self._open.wait()
        link.client_closed |= of_client
        # The other direction may still carry data.
        with suppress(OSError):
            sink.write_eof()
