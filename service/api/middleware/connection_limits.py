"""Limit of the connections of one peer, and count of all connections.

The HTTP server accepts a fixed number of connections, and no more until one of them ends. It has no
limit per peer. Here its connections are found among the file descriptors of the process.
"""

import asyncio
import os
import socket
import stat
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from service.api.http.peer import IPNetwork, is_trusted, site_of
from service.logs import get_logger
from service.metrics import HTTP_CONNECTIONS, HTTP_CONNECTIONS_CLOSED
from service.tasks import background_task

log = get_logger(__name__)

_FOLDER = "/dev/fd"
_SCAN_S = 1.0
_FAST_SCAN_S = 0.1
# Share of the connections above which the scans are fast.
_BUSY_SHARE = 0.25

Client = tuple[str, int]
# A file descriptor and the inode of its socket: a number is used again for other sockets.
_Key = tuple[int, int]


class ConnectionLimits:
    """Closes connections of a peer above `per_peer` (0: no limit).

    Idle connections are closed first, the oldest one first: a new one is about to send a request.
    A peer is an IPv4 address or an IPv6 network of 64 bits; trusted proxies have no limit. Create
    it before the HTTP server listens, so that the ports of other servers are known.
    """

    def __init__(self, total: int, per_peer: int, trusted_proxies: Sequence[IPNetwork]) -> None:
        self._total = total
        self._per_peer = per_peer
        self._trusted_proxies = trusted_proxies
        self._active: set[Client | None] = set()
        # None for sockets that are not connections of the HTTP server. The oldest comes first.
        self._sockets: dict[_Key, Client | None] = {}
        self._other_ports = set(_listening_ports())
        self._ports: set[int] = set()
        self._used = 0

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Returns the application with a middleware that records connections with a request."""
        return partial(self._handle, app)

    def not_ready(self) -> str | None:
        """Returns a sentence when new clients cannot connect, otherwise None."""
        if self._used < self._total:
            return None
        return f"All {self._total} connections are in use; new clients wait."

    @asynccontextmanager
    async def enforced(self) -> AsyncIterator[None]:
        """Counts connections and closes those above the limit while the block runs."""
        async with background_task(self._run(), "connection limits"):
            yield

    async def _handle(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        client = scope["client"]
        self._active.add(client)
        try:
            await app(scope, receive, send)
        finally:
            self._active.discard(client)

    async def _run(self) -> None:
        while True:
            try:
                self._scan()
            except OSError as error:
                log.warning("counting connections failed", reason=error.strerror)
            is_busy = self._used > self._total * _BUSY_SHARE
            await asyncio.sleep(_FAST_SCAN_S if is_busy else _SCAN_S)

    def _scan(self) -> None:
        keys = dict.fromkeys(_open_sockets())
        new = [key for key in keys if key not in self._sockets]
        self._sockets = {key: client for key, client in self._sockets.items() if key in keys}
        if new and not self._ports:
            self._ports = set(_listening_ports()) - self._other_ports
        self._sockets |= {key: _client_of(key[0], self._ports) for key in new}
        self._used = sum(client is not None for client in self._sockets.values())
        HTTP_CONNECTIONS.set(self._used)
        if self._per_peer and self._used > self._per_peer:
            self._close_excess()

    def _close_excess(self) -> None:
        peers: defaultdict[str, list[_Key]] = defaultdict(list)
        for key, client in self._sockets.items():
            if client is not None and not is_trusted(client[0], self._trusted_proxies):
                peers[site_of(client[0])].append(key)
        for peer, keys in peers.items():
            if len(keys) > self._per_peer:
                excess = self._in_closing_order(keys)[: len(keys) - self._per_peer]
                self._close(excess)
                log.warning("excess connections closed", peer=peer, count=len(excess))

    def _in_closing_order(self, keys: Sequence[_Key]) -> list[_Key]:
        idle = [key for key in keys if self._sockets[key] not in self._active]
        return idle + [key for key in reversed(keys) if self._sockets[key] in self._active]

    def _close(self, keys: Sequence[_Key]) -> None:
        for key in keys:
            _shut_down(key[0], self._sockets[key])
            self._sockets[key] = None
        self._used -= len(keys)
        HTTP_CONNECTIONS_CLOSED.inc(len(keys))


def _open_sockets() -> Iterator[_Key]:
    for name in os.listdir(_FOLDER):
        with suppress(OSError):
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode):
                yield int(name), status.st_ino


def _listening_ports() -> Iterator[int]:
    for number, _ in _open_sockets():
        with suppress(OSError), _duplicate(number) as copy:
            if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                name = copy.getsockname()
                if isinstance(name, tuple):
                    yield name[1]


def _client_of(number: int, ports: set[int]) -> Client | None:
    """Returns the address of the client of a connection to one of the ports."""
    with suppress(OSError), _duplicate(number) as copy:
        name = copy.getsockname()
        if isinstance(name, tuple) and name[1] in ports:
            host, port, *_ = copy.getpeername()
            return host, port
    return None


def _shut_down(number: int, client: Client | None) -> None:
    with suppress(OSError), _duplicate(number) as copy:
        # The number may belong to another socket by now.
        if copy.getpeername()[:2] == client:
            copy.shutdown(socket.SHUT_RDWR)


def _duplicate(number: int) -> socket.socket:
    """Returns a second descriptor of a socket: the server may close its own at any time."""
    return socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM)
