"""Load: memory use of large transfers, and stores beside very slow uploads."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.support.deployment import Deployment
from tests.support.running import AccountClient
from tests.support.waiting import wait_until

LARGE_BYTES = 7_990_000
MOST_MEMORY_MB = 300


def peak_memory_mb(pid: int) -> int:
    """Peak resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


class LargeTransfers:
    """Uploads and downloads of one large message, counted by how they ended."""

    def __init__(self, account: AccountClient, vmbox_id: str) -> None:
        self.ends: Counter[str] = Counter()
        self.audio = os.urandom(LARGE_BYTES)
        path = account.path("vmboxes", vmbox_id, "messages")
        self._url = f"{account.service.url}/v2/{path}"
        self._headers = {"X-Auth-Token": account.token}
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def close(self) -> None:
        await self._session.close()

    async def upload(self) -> str:
        """Uploads a message and repeats it after each 503; returns the message's id."""
        headers = {
            **self._headers,
            "Content-Type": "audio/mpeg",
            "Content-Length": str(LARGE_BYTES),
        }
        while True:
            with suppress(aiohttp.ClientConnectionError):
                async with self._session.put(self._url, data=self._parts(), headers=headers) as put:
                    self.ends[f"upload {put.status}"] += 1
                    if put.status == 201:
                        media_id: str = (await put.json())["data"]["media_id"]
                        return media_id
                    assert put.status == 503, await put.text()
                    await asyncio.sleep(int(put.headers["Retry-After"]))

    async def listen(self, media_id: str, pause_s: float = 0.5) -> None:
        """Downloads at 130 kB per second at most and compares every byte with the audio."""
        place = 0
        try:
            url = f"{self._url}/{media_id}/raw"
            async with self._session.get(url, headers=self._headers) as answer:
                if answer.status != 200:
                    assert answer.status == 503, await answer.text()
                    self.ends["download 503"] += 1
                    return
                while piece := await answer.content.read(65_536):
                    assert self.audio.startswith(piece, place)
                    place += len(piece)
                    await asyncio.sleep(pause_s)
            assert place == LARGE_BYTES
            self.ends["download whole"] += 1
        except aiohttp.ClientError:
            # A connection that ends before its answer does cannot be taken for the whole.
            self.ends["download cut"] += 1

    async def _parts(self) -> AsyncIterator[bytes]:
        for start in range(0, LARGE_BYTES, 262_144):
            yield self.audio[start : start + 262_144]
            await asyncio.sleep(0.05)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory in /proc")
async def test_large_uploads_and_slow_listeners_fit_into_memory(
    deployment: Deployment, account: AccountClient
) -> None:
    direct = deployment.servers.environment()
    usual = {"AFTERTONE_DATABASE_TIMEOUT_S": "5", "AFTERTONE_S3_TIMEOUT_S": "10"}
    api = await deployment.another_api(**direct, **usual)
    client = AccountClient(api, account.account_id, account.realm, account.token)
    crowd = LargeTransfers(client, await account.a_vmbox())
    try:
        first = await crowd.upload()
        idle_mb = peak_memory_mb(api.processes["api"].pid)
        began = time.monotonic()
        listeners = [asyncio.create_task(crowd.listen(first)) for _ in range(200)]
        await asyncio.gather(*(crowd.upload() for _ in range(200)))
        uploaded_s = time.monotonic() - began
        await asyncio.gather(*listeners)
        peak_mb = peak_memory_mb(api.processes["api"].pid)
    finally:
        await crowd.close()
        await client.http.aclose()
        await api.stop()
    print(f"\nmemory {idle_mb} -> {peak_mb} MB, uploads {uploaded_s:.0f} s, {dict(crowd.ends)}")
    assert peak_mb < MOST_MEMORY_MB
    assert crowd.ends["upload 201"] == 201
    assert crowd.ends["download whole"] > 100


async def trickle(
    account: AccountClient, vmbox_id: str, stop: asyncio.Event, begun: Callable[[], None]
) -> None:
    """Uploads one byte per second; calls `begun` once the head is sent."""
    host, port = account.service.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"PUT /v2/{account.path('vmboxes', vmbox_id, 'messages')} HTTP/1.1\r\nHost: x\r\n"
        f"X-Auth-Token: {account.token}\r\nContent-Type: audio/mpeg\r\n"
        f"Content-Length: {LARGE_BYTES}\r\n\r\n"
    )
    with suppress(OSError):
        writer.write(head.encode())
        await writer.drain()
        begun()
        while not stop.is_set():
            writer.write(b"x")
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("connections", "stores"), [(100, 20), pytest.param(500, 1000, marks=pytest.mark.long)]
)
async def test_messages_are_stored_while_many_uploads_send_a_byte_a_second(
    deployment: Deployment, account: AccountClient, connections: int, stores: int
) -> None:
    vmbox_id, stop = await account.a_vmbox(), asyncio.Event()
    sending: list[int] = []
    tricklers = [
        asyncio.create_task(trickle(account, vmbox_id, stop, lambda: sending.append(1)))
        for _ in range(connections)
    ]
    await wait_until(lambda: len(sending) == connections)
    for _ in range(stores):
        await account.leave(vmbox_id)
    stop.set()
    await asyncio.gather(*tricklers)
    assert len(await account.listed(vmbox_id, paginate="false")) == stores
    assert deployment.api.alive
