"""Shutdown: a process finishes its work after the first signal and ends at the second."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from tests.support.admin import AdminPort, HealthAnswer, terminate
from tests.support.deployment import Deployment
from tests.support.ports import free_port
from tests.support.running import NO_TLS, AccountClient, RunningService, multipart
from tests.support.waiting import wait_until

_AUDIO = b"\xff\xfb" * 40_000


class PausedUpload:
    """An upload that pauses in the middle of its body until `finish`."""

    def __init__(self, account: AccountClient, vmbox_id: str) -> None:
        path = account.path("vmboxes", vmbox_id, "messages")
        whole = account.http.build_request("PUT", path, **multipart(_AUDIO, "audio/mpeg", {}))
        self._go_on = asyncio.Event()
        request = account.http.build_request(
            "PUT",
            path,
            content=self._parts(whole.read()),
            headers={"Content-Type": whole.headers["Content-Type"]},
        )
        self.sending = asyncio.create_task(account.http.send(request))

    async def _parts(self, body: bytes) -> AsyncIterator[bytes]:
        half = len(body) // 2
        yield body[:half]
        await self._go_on.wait()
        yield body[half:]

    async def finish(self) -> httpx.Response:
        self._go_on.set()
        return await self.sending


@pytest_asyncio.fixture(loop_scope="session")
async def admin() -> AdminPort:
    return AdminPort(free_port())


@asynccontextmanager
async def uploading(
    deployment: Deployment, admin: AdminPort, account: AccountClient, **settings: str
) -> AsyncIterator[tuple[RunningService, PausedUpload, str]]:
    """Starts another API process and an upload to a box that pauses."""
    other = await deployment.another_api(**admin.environment, **settings)
    await wait_until(admin.is_ready)
    vmbox_id = await account.a_vmbox()
    there = AccountClient(other, account.account_id, account.realm, account.token)
    slow = PausedUpload(there, vmbox_id)

    try:
        await wait_until(lambda: admin.shows(1, "aftertone_uploads_in_flight"))
        yield other, slow, vmbox_id
    finally:
        slow.sending.cancel()
        await asyncio.gather(slow.sending, return_exceptions=True)
        await there.http.aclose()
        await other.stop()


async def test_an_upload_in_progress_at_shutdown_is_answered_with_201_and_stored(
    deployment: Deployment, account: AccountClient, admin: AdminPort
) -> None:
    async with uploading(deployment, admin, account) as (other, slow, vmbox_id):
        api = other.processes["api"]
        terminate(api)
        await wait_until(lambda: _not(admin.is_ready()), every_s=0.01)
        response = await admin.health("ready")
        assert (response.status, "The process is stopping" in response.reason) == (503, True)
        assert await admin.health("live") == HealthAnswer(200, "")
        # It listens for a moment still, so that clients hear that their connections end.
        await wait_until(lambda: _not(_takes_connections(other.url)))
        stored = await slow.finish()
        assert stored.status_code == httpx.codes.CREATED
        assert await api.wait() == 0
    media_id = stored.json()["data"]["media_id"]
    raw = await account.http.get(account.path("vmboxes", vmbox_id, "messages", media_id, "raw"))
    assert raw.content == _AUDIO


@pytest.mark.long
async def test_a_second_signal_ends_the_process_at_once(
    deployment: Deployment, account: AccountClient, admin: AdminPort
) -> None:
    async with uploading(deployment, admin, account) as (other, _, _):
        api = other.processes["api"]
        terminate(api)
        await wait_until(lambda: _not(admin.is_ready()))
        assert api.alive
        terminate(api)
        assert await api.wait() == 128 + 15


@pytest.mark.long
async def test_a_process_that_does_not_finish_in_time_is_ended(
    deployment: Deployment, account: AccountClient, admin: AdminPort
) -> None:
    limit = {"AFTERTONE_STOP_TIMEOUT_S": "0.5"}
    async with uploading(deployment, admin, account, **limit) as (other, _, _):
        api = other.processes["api"]
        terminate(api)
        assert await api.wait() == 1


async def test_a_standby_takes_over_when_the_active_relay_stops(
    deployment: Deployment, admin: AdminPort
) -> None:
    old = deployment.relay
    standby = await deployment.start_relay("standby", **admin.environment)
    await wait_until(admin.is_ready)
    assert await admin.value("aftertone_relay_active") == 0
    terminate(old)
    await wait_until(lambda: admin.shows(1, "aftertone_relay_active"))
    assert await old.wait() == 0
    assert standby.alive


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "setting", "said"),
    [
        ("relay", "AFTERTONE_ADMIN_PORT", "Error: Cannot serve health and metrics on 127.0.0.1"),
        ("api", "AFTERTONE_PORT", "Error: Cannot listen on 127.0.0.1"),
    ],
)
async def test_a_port_in_use_is_reported_in_one_sentence(
    deployment: Deployment, command: str, setting: str, said: str
) -> None:
    port = free_port()
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", port):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", command),
            env={**deployment.environment, setting: str(port)},
            stderr=asyncio.subprocess.PIPE,
        )
        _, log = await process.communicate()
    assert process.returncode == 1
    assert log.decode().splitlines()[-1].startswith(f"{said} port {port}: ")


@pytest.mark.long
async def test_a_process_that_cannot_listen_is_never_ready(
    deployment: Deployment, admin: AdminPort
) -> None:
    """Otherwise a supervisor would send requests to the process that has the port."""
    port = free_port()
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", port):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "api"),
            env={**deployment.environment, **admin.environment, "AFTERTONE_PORT": str(port)},
            stderr=asyncio.subprocess.PIPE,
        )
        said = asyncio.create_task(process.communicate())
        while not said.done():
            assert not await admin.is_ready()
        _, log = await said
    assert b"Cannot listen on" in log
    assert b'"listening"' not in log


async def test_sigterm_ends_a_waiting_command(deployment: Deployment) -> None:
    """As PID 1 of a container the command has no default handler."""
    request_started = asyncio.Event()

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_started.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as silent:
        host, port = silent.sockets[0].getsockname()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "migrate"),
            env={
                **deployment.environment,
                "AFTERTONE_OWNER_DATABASE_URL": f"postgresql://owner@{host}:{port}/silent",
            },
            stderr=asyncio.subprocess.PIPE,
        )
        await request_started.wait()
        process.terminate()
        _, log = await process.communicate()
    assert (process.returncode, log) == (143, b"")


async def _takes_connections(url: str) -> bool:
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        try:
            answer = await client.get(url)
        except httpx.TransportError:
            return False
    assert answer.headers["connection"] == "close"
    return True


async def _not(answer: Awaitable[bool]) -> bool:
    return not await answer
