"""The load generator: one process, raw sockets, prebuilt requests; it knows nothing of the service.

Run as `python -m tests.benchmarks.load` with a Job as msgpack on standard input. It writes the line
`measuring` after the warm-up, `measured` at the end, then its Report as one line of JSON. A process
of its own, so that it shares no interpreter with what it measures or with what watches it.
"""

import re
import selectors
import socket
import sys
import time

import msgspec

_BUFFER_BYTES = 512 * 1024
_TAIL_BYTES = 1024
_PATIENCE_S = 30.0
_SUCCESS = (b"HTTP/1.1 20", b"HTTP/1.0 20")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Step(msgspec.Struct, frozen=True, array_like=True):
    """A request of IMAP or LMTP. The last line of its answer begins with `end`, or with one of
    `refusals`."""

    request: bytes
    end: bytes
    refusals: tuple[bytes, ...]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Each client sends its own requests in turn, over one connection that is kept, and begins
    again at their end; `body` follows each. `once`: no warm-up, each request one time, no clock.
    `redirects`: the answers are 307. `exchanges` are the steps of each client instead of
    `requests`, after the greeting of the server and the steps of `logins`.
    """

    host: str
    port: int
    requests: list[list[bytes]] = []
    exchanges: list[list[list[Step]]] = []
    logins: list[list[Step]] = []
    body: bytes = b""
    warm_up_s: float = 1.0
    seconds: float = 5.0
    once: bool = False
    redirects: bool = False

    @property
    def clients(self) -> int:
        return len(self.requests or self.exchanges)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`latencies_ms` in ascending order; `cpu_s` is the generator's own. `failure` ends all."""

    seconds: float = 0.0
    latencies_ms: list[float] = []
    cpu_s: float = 0.0
    failure: str = ""


class LoadFailed(Exception):
    """An answer has another status than a 2xx, or is absent."""


class Connection:
    """One client: sends a request, takes the answer, and verifies its status."""

    def __init__(self, job: Job, requests: list[bytes]) -> None:
        self.socket = socket.create_connection((job.host, job.port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A whole request goes into the kernel with one call.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self.socket.setblocking(False)
        self.begun = 0.0
        self.busy = False
        self.sent_all = True
        self._requests = requests
        self._next = 0
        self._body = job.body
        self._statuses = (b"HTTP/1.1 307",) if job.redirects else _SUCCESS
        self._unsent: list[memoryview] = []
        self._head = b""
        self._missing: int | None = None

    @property
    def exhausted(self) -> bool:
        """Returns whether every request was sent once."""
        return self._next >= len(self._requests)

    def begin(self) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        self._unsent = [memoryview(request), memoryview(self._body)]
        self._head, self._missing = b"", None
        self.busy = True
        self.begun = time.perf_counter()
        self.go_on_sending()

    def go_on_sending(self) -> None:
        """As much as the kernel takes; `sent_all` says whether that was the rest."""
        try:
            taken = self.socket.sendmsg(self._unsent)
        except BlockingIOError:
            taken = 0
        while self._unsent and taken >= len(self._unsent[0]):
            taken -= len(self._unsent.pop(0))
        if self._unsent:
            self._unsent[0] = self._unsent[0][taken:]
        self.sent_all = not self._unsent

    def receive(self, buffer: bytearray) -> bool:
        """Returns whether the answer is complete."""
        size = self.socket.recv_into(buffer)
        if size == 0:
            raise LoadFailed("the server closed a connection that was to be kept")
        if self._missing is not None:
            self._missing -= size
        else:
            self._read_head(buffer, size)
        self.busy = self._missing != 0
        return not self.busy

    def _read_head(self, buffer: bytearray, size: int) -> None:
        data = self._head + buffer[:size] if self._head else buffer
        size += len(self._head)
        end = data.find(b"\r\n\r\n", 0, size)
        if end < 0:
            self._head = bytes(data[:size])
            return
        head = bytes(data[:end])
        length = LENGTH.search(head)
        if not head.startswith(self._statuses) or length is None:
            raise LoadFailed(bytes(data[: min(size, 1000)]).decode(errors="replace"))
        self._missing = int(length[1]) - (size - end - 4)


class LineConnection(Connection):
    """One client of IMAP or LMTP: performs an exchange of one or more steps."""

    def __init__(self, job: Job, login: list[Step], exchanges: list[list[Step]]) -> None:
        super().__init__(job, [])
        self._exchanges = exchanges
        self._tail = b""
        self._steps = [Step(b"", b"", ()), *login]
        self.socket.setblocking(True)
        while self._steps:
            self.socket.sendall(self._steps[0].request)
            while not self._is_answered(self.socket.recv(_BUFFER_BYTES)):
                pass
        self.socket.setblocking(False)

    @property
    def exhausted(self) -> bool:
        """Returns whether every exchange was performed once."""
        return self._next >= len(self._exchanges)

    def begin(self) -> None:
        self._steps = list(self._exchanges[self._next % len(self._exchanges)])
        self._next += 1
        self._unsent = [memoryview(self._steps[0].request)]
        self.busy = True
        self.begun = time.perf_counter()
        self.go_on_sending()

    def receive(self, buffer: bytearray) -> bool:
        """Returns whether the last step is answered. Sends the next step."""
        size = self.socket.recv_into(buffer)
        if size and self._is_answered(bytes(buffer[max(0, size - _TAIL_BYTES) : size])):
            if self._steps:
                self.socket.setblocking(True)
                self.socket.sendall(self._steps[0].request)
                self.socket.setblocking(False)
            self.busy = bool(self._steps)
        if size == 0:
            raise LoadFailed("the server closed a connection that was to be kept")
        return not self.busy

    def _is_answered(self, data: bytes) -> bool:
        """Removes the step whose answer ends with `data`. Raises LoadFailed for a refusal."""
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        if not self._tail.endswith(b"\r\n"):
            return False
        line = self._tail[:-2].rpartition(b"\n")[2]
        step = self._steps[0]
        if step.refusals and line.startswith(step.refusals):
            raise LoadFailed(line.decode(errors="replace"))
        if not line.startswith(step.end):
            return False
        del self._steps[0]
        self._tail = b""
        return True


class Run:
    """One job from its first byte to its last answer."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._clients: list[Connection] = [Connection(job, each) for each in job.requests]
        self._clients += [
            LineConnection(job, *each) for each in zip(job.logins, job.exchanges, strict=True)
        ]
        self._selector = selectors.DefaultSelector()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._latencies: list[float] = []

    def run(self) -> Report:
        for client in self._clients:
            self._selector.register(client.socket, selectors.EVENT_READ, client)
            self._begin(client)
        if self._job.once:
            return self._once()
        self._until(time.perf_counter() + self._job.warm_up_s)
        _print_line("measuring")
        begun, cpu = time.perf_counter(), time.process_time()
        self._latencies = []
        self._until(begun + self._job.seconds, since=begun)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        _print_line("measured")
        latencies = sorted(latency * 1000 for latency in self._latencies)
        self._drain()
        return Report(seconds=seconds, latencies_ms=latencies, cpu_s=cpu)

    def _once(self) -> Report:
        while any(client.busy for client in self._clients):
            for client in self._answered():
                if not client.exhausted:
                    self._begin(client)
        return Report(latencies_ms=sorted(latency * 1000 for latency in self._latencies))

    def _until(self, end: float, since: float = 0.0) -> None:
        """Keeps all clients busy. Counts requests that begin after `since` and end before `end`."""
        while time.perf_counter() < end:
            for client in self._answered(since, end):
                self._begin(client)

    def _drain(self) -> None:
        """Receives the last answers, because an aborted request would be a failure."""
        while any(client.busy for client in self._clients):
            self._answered()

    def _answered(self, since: float = 0.0, end: float = float("inf")) -> list[Connection]:
        ready = self._selector.select(_PATIENCE_S)
        if not ready:
            raise LoadFailed(f"no answer within {_PATIENCE_S:.0f} s")
        done = []
        for key, mask in ready:
            client: Connection = key.data
            if mask & selectors.EVENT_WRITE:
                self._go_on(client)
            if mask & selectors.EVENT_READ and client.receive(self._buffer):
                now = time.perf_counter()
                if since <= client.begun and now <= end:
                    self._latencies.append(now - client.begun)
                done.append(client)
        return done

    def _begin(self, client: Connection) -> None:
        client.begin()
        if not client.sent_all:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(client.socket, both, client)

    def _go_on(self, client: Connection) -> None:
        client.go_on_sending()
        if client.sent_all:
            self._selector.modify(client.socket, selectors.EVENT_READ, client)


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    try:
        report = Run(job).run()
    except (LoadFailed, OSError) as error:
        report = Report(failure=f"{type(error).__name__}: {error}")
    _print_line(msgspec.json.encode(report).decode())


if __name__ == "__main__":
    main()
