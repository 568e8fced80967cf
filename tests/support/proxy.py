"""A TCP proxy in front of one server: stops, silences or cuts what passes when a test says so."""

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
    """A moment that a test waits for: the bytes that make it are held until it is released.

    It comes when the client says `asks`; with `answers`, when the server then says that on the same
    connection: the server has done its part and the client does not know yet. `nth` counts such
    moments over all connections.
    """

    def __init__(self, asks: bytes, answers: bytes | None, nth: int) -> None:
        self._asks = asks
        self._answers = answers
        self._left = nth
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self, within_s: float = DEADLINE_S) -> None:
        """Returns at the moment; fails when it does not come."""
        async with asyncio.timeout(within_s):
            await self._reached.wait()

    def release(self) -> None:
        self._released.set()

    async def pass_client(self, link: "Link", chunk: bytes) -> None:
        """Returns when what the client says may go on to the server."""
        times = link.heard.count(self, self._asks, chunk)
        if times and self._answers is not None:
            link.asked.add(self)
            link.told.forget(self)
        elif times:
            await self._come(times)

    async def pass_server(self, link: "Link", chunk: bytes) -> None:
        """Returns when what the server says may go on to the client."""
        if self in link.asked and self._answers is not None:
            times = link.told.count(self, self._answers, chunk)
            if times:
                link.asked.discard(self)
                await self._come(1)

    async def _come(self, times: int) -> None:
        before, self._left = self._left, self._left - times
        if before > 0 >= self._left:
            self._reached.set()
            await self._released.wait()


class _Tails:
    """The end of what was said in one direction, for what lies across two chunks."""

    def __init__(self) -> None:
        self._tails: dict[HoldPoint, bytes] = {}

    def count(self, stop: HoldPoint, wanted: bytes, chunk: bytes) -> int:
        text = self._tails.get(stop, b"") + chunk
        self._tails[stop] = text[max(0, len(text) - len(wanted) + 1) :]
        return text.count(wanted)

    def forget(self, stop: HoldPoint) -> None:
        self._tails.pop(stop, None)


class Link:
    """One client's connection and ours to the server."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.heard, self.told = _Tails(), _Tails()
        self.asked: set[HoldPoint] = set()
        self.lost = False
        self.client_closed = False
        self.ends = [client]

    def close(self) -> None:
        for end in self.ends:
            end.close()

    def cut(self) -> None:
        """Both sides see a reset."""
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
        """How long each chunk is kept, in both directions."""
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
        """What makes the moment is held, and only that; it goes on when the block ends."""
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
        """Nothing passes; connections, new ones too, stay open and silent."""
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    def cut(self) -> None:
        """Resets every connection; new ones are taken."""
        for link in list(self._links):
            link.cut()

    def lose(self) -> None:
        """The connections of this moment stay open and are silent for ever; new ones work."""
        for link in self._links:
            link.lost = True

    async def refuse(self) -> None:
        """Nobody listens any more, and who was connected is reset."""
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
        """As new: open, without delay or stops."""
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
        # The other direction may still have something to say.
        with suppress(OSError):
            sink.write_eof()
