"""One API process under attack: its memory, the attacker's connections, the other tenant."""

import asyncio
import math
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from service.embedded.child import Child, Command
from tests.attacks.tenant import Job, Request, Sample
from tests.support.ports import free_port
from tests.support.running import AccountClient, RunningService
from tests.support.waiting import wait_until

ATTACKER = "127.0.0.2"
"""Source address of the attacker; the other tenant has 127.0.0.1."""
REPOSITORY = Path(__file__).parents[2]
MAX_WAIT_S = 2.0
"""Longest acceptable wait of the other tenant; asserted for p99, and in the long tier only."""
# For a response to the other tenant. The long one is for an idle machine.
_TIMEOUT_S, _TIMEOUT_LONG_S = 60.0, 10.0
_PAUSE_S = 0.05
# An attack lasts for so many seconds, and until the other tenant has so many responses, or up to
# the last number of seconds.
_HOLD, _HOLD_LONG = (3.0, 40, 30.0), (20.0, 400, 120.0)
# More than an upload may send without a slot; not text, which is refused.
_AUDIO = b"\0audio" * 8_192
_VALUES = msgspec.yaml.decode((REPOSITORY / "deploy/chart/values.yaml").read_bytes())
MEMORY_LIMIT_MB = int(_VALUES["api"]["resources"]["limits"]["memory"].removesuffix("Mi"))

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Report(msgspec.Struct, kw_only=True):
    """`outcomes` counts the responses to the attacker, `samples` are the other tenant's.

    `targets` names the requests of the other tenant that the attack is aimed at, if any.
    """

    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    samples: list[Sample] = []
    targets: list[str] = []
    idle_mb: int = 0
    peak_mb: int = 0
    is_long: bool = False

    @property
    def problems(self) -> list[str]:
        return [f"{sample.name}: {sample.problem}" for sample in self.samples if sample.problem]

    def select(self, name: str) -> "Report":
        """The report of one request of the other tenant."""
        samples = [sample for sample in self.samples if sample.name == name]
        return msgspec.structs.replace(self, samples=samples, targets=[])

    def wait_s(self, share: float = 1.0) -> float:
        """The wait that this share of the other tenant's requests did not exceed."""
        waits = sorted(sample.seconds for sample in self.samples)
        return waits[math.ceil(share * len(waits)) - 1]

    def check(self) -> None:
        """The other tenant was served, and the memory stayed below the chart's limit."""
        assert self.samples
        assert not self.problems, f"{len(self.problems)} of {len(self.samples)}: {self.problems[0]}"
        assert self.peak_mb < MEMORY_LIMIT_MB, f"{self.idle_mb} -> {self.peak_mb} MB"
        if self.is_long:
            assert self.wait_s(0.99) <= MAX_WAIT_S, f"p99 {self.wait_s(0.99):.2f} s"


class Watch:
    """The other tenant while an attack runs."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.outcomes = report.outcomes
        self._process: asyncio.subprocess.Process

    @asynccontextmanager
    async def running(self, job: Job) -> AsyncIterator[None]:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.attacks.tenant"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(job) + b"\n")
        reading = asyncio.create_task(self._read())
        try:
            # Everything must work before the attack begins.
            await self._completed(0, 2 * len(job.requests), 60)
            assert not self.report.problems, self.report.problems[0]
            self.report.samples.clear()
            yield
        finally:
            self._process.stdin.close()
            await reading
            await self._process.wait()

    async def hold(self) -> None:
        """Returns when the other tenant has sent enough requests for a measurement."""
        await self._completed(*(_HOLD_LONG if self.report.is_long else _HOLD))

    async def _completed(self, at_least_s: float, count: int, at_most_s: float) -> None:
        samples, began = self.report.samples, time.monotonic()
        target = len(samples) + count

        def is_over() -> bool:
            lasted_s = time.monotonic() - began
            return lasted_s > (at_least_s if len(samples) >= target else at_most_s)

        await wait_until(is_over, at_most_s + 60)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.report.samples.append(msgspec.json.decode(line, type=Sample))


class AttackedApi(RunningService):
    """One API process, of this checkout or of another one, with two accounts."""

    attacker: AccountClient
    tenant: AccountClient
    is_long = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, service: RunningService, tree: Path | None, wrapper: Sequence[str], **settings: str
    ) -> "AsyncIterator[AttackedApi]":
        """A process of the deployment of `service`; `wrapper` is put before its command line."""
        api = cls(service.servers, service.folder / f"attacked-{uuid4().hex[:8]}")
        api.folder.mkdir()
        ports = {name: str(free_port()) for name in ("AFTERTONE_PORT", "AFTERTONE_ADMIN_PORT")}
        api.environment = {**service.environment, **ports, **settings}
        api.url = f"http://127.0.0.1:{ports['AFTERTONE_PORT']}"
        command = Command(
            argv=[*wrapper, *program_of(tree), "api"],
            environment={name: value for name, value in api.environment.items() if value},
            log=api.folder / "api.log",
        )
        api.processes["api"] = Child("api", command)
        try:
            await api.processes["api"].start()
            await api.answers()
            api.attacker, api.tenant = await api.an_account(), await api.an_account()
            yield api
            await api.attacker.http.aclose()
            await api.tenant.http.aclose()
        finally:
            await api.stop()

    @asynccontextmanager
    async def watched(self, *more: Request) -> AsyncIterator[Watch]:
        """Measures while the block runs; `more` are requests that the attack is aimed at."""
        targets = [request.name for request in more]
        watch = Watch(Report(is_long=self.is_long, targets=targets))
        timeout_s = _TIMEOUT_LONG_S if self.is_long else _TIMEOUT_S
        job = Job([*await self._usual_requests(), *more], timeout_s)
        async with watch.running(job):
            self._reset_peak()
            watch.report.idle_mb = self._memory_mb("VmRSS")
            yield watch
            watch.report.peak_mb = self._memory_mb("VmHWM")

    def connect(self) -> Awaitable[Connection]:
        """A TCP connection of the attacker."""
        parts = urlsplit(self.url)
        return asyncio.open_connection(parts.hostname, parts.port, local_addr=(ATTACKER, 0))

    def session(self, **headers: str) -> aiohttp.ClientSession:
        """A client of the attacker, signed in."""
        return aiohttp.ClientSession(
            f"{self.url}/v2/",
            headers={"X-Auth-Token": self.attacker.token, **headers},
            connector=aiohttp.TCPConnector(limit=0, local_addr=(ATTACKER, 0)),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    def request(self, name: str, method: str, path: str, **more: Any) -> Request:
        """A request of the other tenant, in JSON."""
        headers = {"X-Auth-Token": self.tenant.token, "Content-Type": "application/json"}
        return Request(
            name=name, method=method, url=f"{self.url}/v2/{path}", headers=headers, **more
        )

    async def _usual_requests(self) -> list[Request]:
        vmbox_id = await self.tenant.a_vmbox(max_message_count=0)
        media_id = await self.tenant.leave(vmbox_id)
        messages = self.tenant.path("vmboxes", vmbox_id, "messages")
        store = self.request("store", "PUT", messages, status=201, body=_AUDIO)
        store.headers["Content-Type"] = "audio/mpeg"
        live = f"http://127.0.0.1:{self.environment['AFTERTONE_ADMIN_PORT']}/health/live"
        return [
            store,
            self.request("list", "GET", self.tenant.path("vmboxes"), text=vmbox_id),
            self.request("listen", "GET", f"{messages}/{media_id}/raw", text="audio"),
            Request(name="live", url=live),
        ]

    def _reset_peak(self) -> None:
        Path(f"/proc/{self.processes['api'].pid}/clear_refs").write_text("5")

    def _memory_mb(self, name: str) -> int:
        status = Path(f"/proc/{self.processes['api'].pid}/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) // 1024


@asynccontextmanager
async def no_wrapper() -> AsyncIterator[Sequence[str]]:
    yield ()


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """`sent` says in words what `run` sends; `{size}` in it is the size of the attack."""

    name: str
    sent: str
    quick: int
    long: int
    run: Callable[[AttackedApi, int], Awaitable[Report]]
    settings: dict[str, str] = {}
    quick_settings: dict[str, str] = {}
    wrapper: Callable[[], AbstractAsyncContextManager[Sequence[str]]] = no_wrapper

    def sent_at(self, size: int) -> str:
        """The text of `sent` for a size."""
        return self.sent.format(size=f"{size:,}".replace(",", " "))

    async def measure(
        self, service: RunningService, size: int, tree: Path | None = None, **settings: str
    ) -> Report:
        """Runs the attack on a new process."""
        is_long = size == self.long
        _raise_file_limit()
        settings = {**self.settings, **({} if is_long else self.quick_settings), **settings}
        async with (
            self.wrapper() as wrapper,
            AttackedApi.open(service, tree, wrapper, **settings) as api,
        ):
            api.is_long = is_long
            return await self.run(api, size)


def _raise_file_limit() -> None:
    """Allows thousands of connections in this process and in the API."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def sizes(attack: Attack, *, in_quick_tier: bool = False) -> pytest.MarkDecorator:
    """The small and the large size of an attack.

    Both are in the long tier: unit and contract tests prove each limit at a small cost.
    """
    small = pytest.param(attack.quick, marks=[] if in_quick_tier else [pytest.mark.long])
    large = pytest.param(attack.long, marks=[pytest.mark.long, pytest.mark.timeout(900)])
    return pytest.mark.parametrize("size", [small, large])


def program_of(tree: Path | None) -> list[str]:
    """The command line of `aftertone` of a checkout; by default of this one."""
    return [str(tree / ".venv/bin/aftertone")] if tree else [sys.executable, "-m", "service"]


@asynccontextmanager
async def repeating(work: Callable[[int], Awaitable[None]], count: int) -> AsyncIterator[None]:
    """`count` clients repeat `work` while the block runs, with a pause after each."""

    async def repeat(number: int) -> None:
        while True:
            await work(number)
            await asyncio.sleep(_PAUSE_S)

    tasks = [asyncio.create_task(repeat(number)) for number in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [error for error in ended if isinstance(error, Exception)] == []


async def status_of(reader: asyncio.StreamReader) -> str:
    """The status of the response on a connection; `closed` when it ends without one."""
    try:
        line = await reader.readline()
    except OSError:
        return "closed"
    return line.split()[1].decode() if line.startswith(b"HTTP/") else "closed"


def content(data: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"data": data})
