"""Two API processes behind a balancer, replaced one after the other while clients work."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from service.embedded.balancer import Balancer
from service.embedded.child import Child, Command
from tests.support.admin import terminate
from tests.support.clients import check_outage
from tests.support.ports import free_port
from tests.support.running import NO_TLS, AccountClient, RunningService, data_of, multipart
from tests.support.waiting import wait_until

# As a Deployment does by default: one more is started, and when it is ready an old one is left out
# by the balancer, told to stop some time later (preStop), while the next one starts.
PAUSE_S = 1.0
SOUND = bytes(range(256)) * 256

Act = Callable[[httpx.AsyncClient], Awaitable[None]]


class Member(msgspec.Struct, frozen=True):
    """An API process behind the balancer."""

    child: Child
    port: int


class Fleet:
    """Members of a deployment, and the balancer that gets their addresses."""

    def __init__(self, service: RunningService, balancer: Balancer) -> None:
        self._service = service
        self._balancer = balancer
        self.members: list[Member] = []
        self.log = service.folder / "rolling.log"
        self.slowest_end_s = 0.0

    async def grow(self) -> None:
        """Adds a member, which gets connections when it is ready."""
        port, admin_port = free_port(), free_port()
        command = Command(
            argv=[sys.executable, "-m", "service", "api"],
            environment={
                **self._service.environment,
                "AFTERTONE_PORT": str(port),
                "AFTERTONE_ADMIN_PORT": str(admin_port),
            },
            log=self.log,
        )
        child = Child("api", command)
        await child.start()
        self.members.append(Member(child, port))
        await wait_until(lambda: is_ready(admin_port), 60)
        self._balancer.admit(port)

    async def shrink(self) -> None:
        """Stops the oldest member, as a supervisor does."""
        member = self.members[0]
        self._balancer.dismiss(member.port)
        await asyncio.sleep(PAUSE_S)
        began = time.monotonic()
        assert member.child.alive, self.log.read_text()[-5000:]
        terminate(member.child)
        assert await member.child.wait() == 0
        self.slowest_end_s = max(self.slowest_end_s, time.monotonic() - began)
        self.members.remove(member)


async def is_ready(admin_port: int) -> bool:
    """Returns False also while the process does not listen yet."""
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        try:
            answer = await client.get(f"http://127.0.0.1:{admin_port}/health/ready")
        except httpx.TransportError:
            return False
    return answer.status_code == httpx.codes.OK


class Load:
    """Clients with a connection each, which they keep and use all the time.

    Whatever is no success and no outage told as one is a failure; nothing is asked again.
    """

    def __init__(self, url: str, account: AccountClient, vmbox_id: str) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._url = url
        self._token = account.token
        self._box = account.path("vmboxes", vmbox_id, "messages")
        self._stored = ""

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        async with self._client() as http:
            await self.store(http)
        kinds = [self.store] * 3 + [self.play] * 3 + [self.list] * 2 + [self.store_slowly] * 2
        tasks = [asyncio.create_task(self._repeat(kind, stop)) for kind in kinds]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    def _client(self) -> httpx.AsyncClient:
        headers = {"X-Auth-Token": self._token}
        return httpx.AsyncClient(base_url=self._url, headers=headers, timeout=30, verify=NO_TLS)

    async def _repeat(self, act: Act, stop: asyncio.Event) -> None:
        async with self._client() as http:
            while not stop.is_set():
                await act(http)
                await asyncio.sleep(0.02)

    async def store(self, http: httpx.AsyncClient) -> None:
        content = multipart(SOUND, "audio/mpeg", {})
        answer = await self._ask("stored", http.put(self._box, **content))
        if answer is not None:
            self._stored = data_of(answer, 201)["media_id"]

    async def store_slowly(self, http: httpx.AsyncClient) -> None:
        """Sends an upload that takes longer than the stop of a process."""
        request = httpx.Request("PUT", "http://x", **multipart(SOUND, "audio/mpeg", {}))
        body = request.read()

        async def bit_by_bit() -> AsyncIterator[bytes]:
            for begin in range(0, len(body), 8192):
                yield body[begin : begin + 8192]
                await asyncio.sleep(1.5 * PAUSE_S * 8192 / len(body))

        headers = {"Content-Type": request.headers["Content-Type"]}
        sent = http.put(self._box, content=bit_by_bit(), headers=headers)
        await self._ask("stored slowly", sent)

    async def play(self, http: httpx.AsyncClient) -> None:
        answer = await self._ask("played", http.get(f"{self._box}/{self._stored}/raw"))
        assert answer is None or answer.content == SOUND

    async def list(self, http: httpx.AsyncClient) -> None:
        await self._ask("listed", http.get(self._box))

    async def _ask(self, what: str, sent: Awaitable[httpx.Response]) -> httpx.Response | None:
        try:
            answer = await sent
        except httpx.TransportError as error:
            self.failures.append(f"{what}: {error!r}")
            return None
        if answer.is_success:
            self.answers[what] += 1
            return answer
        self.answers["put off"] += 1
        try:
            check_outage(answer)
        except AssertionError:
            self.failures.append(f"{what}: {answer.status_code} {answer.text[:200]}")
        return None


async def rolled(service: RunningService, cycles: int) -> None:
    """Replaces both members, one after the other, again and again."""
    owner = await service.an_account()
    vmbox_id = await owner.a_vmbox()
    async with Balancer.open() as balancer:
        fleet = Fleet(service, balancer)
        await asyncio.gather(fleet.grow(), fleet.grow())
        load = Load(f"http://127.0.0.1:{balancer.port}/v2/", owner, vmbox_id)
        async with load.at_work():
            await fleet.grow()
            for _ in range(2 * cycles - 1):
                await asyncio.gather(fleet.shrink(), fleet.grow())
            await fleet.shrink()
        actual = ", ".join(f"{count} {what}" for what, count in sorted(load.answers.items()))
        print(
            f"{cycles} cycles: {actual}; {len(load.failures)} failed;"
            f" the slowest end took {fleet.slowest_end_s:.1f} s"
        )
        counts = await owner.counts(vmbox_id)
        for member in fleet.members:
            await member.child.stop()
    await owner.http.aclose()
    assert load.failures == []
    assert counts["new"] == load.answers["stored"] + load.answers["stored slowly"]
    assert min(load.answers[what] for what in ("stored", "played", "listed", "stored slowly")) > 0


@pytest.mark.long
async def test_a_rolling_restart_fails_no_request(service: RunningService) -> None:
    await rolled(service, cycles=1)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_twenty_rolling_restarts_fail_no_request(service: RunningService) -> None:
    await rolled(service, cycles=20)
