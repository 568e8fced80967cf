"""Names whose servers do not answer leave the look-ups of other tenants alone."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pytest

from tests.attacks.harness import Attack, AttackedApi, Report, repeating, sizes
from tests.attacks.preparation import create_webhook
from tests.support.running import RunningService
from tests.support.webhook_receiver import WebhookReceiver

_GOOD = b"\x04good\x04test\x00"
_NAMESERVER = ("127.0.0.53", 53)
_A_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x7f\x00\x00\x01"
_IS_A = b"\x00\x01"


class NameServer(asyncio.DatagramProtocol):
    """Resolves `good.test` to 127.0.0.1 and does not answer for other names."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, _, rest = data[12:].partition(b"\x00")
        if name.lower() + b"\x00" != _GOOD:
            return
        record = _A_RECORD if rest[:2] == _IS_A else b""
        counts = bytes((0, 1, 0, len(record) > 0, 0, 0, 0, 0))
        question = name + b"\x00" + rest[:4]
        self._transport.sendto(data[:2] + b"\x81\x80" + counts + question + record, addr)


@asynccontextmanager
async def dead_names() -> AsyncIterator[Sequence[str]]:
    """Runs the name server; yields the command line that makes it the only one of a process."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=_NAMESERVER
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "resolv.conf"
        file.write_text(f"nameserver {_NAMESERVER[0]}\noptions timeout:30\n")
        script = f'mount --bind {file} /etc/resolv.conf && exec "$@"'
        yield ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    transport.close()


async def attack(api: AttackedApi, size: int) -> Report:
    """Each client creates and pings a webhook whose host name is not resolved."""
    async with WebhookReceiver().running() as receiver:
        good = await create_webhook(api.tenant, receiver.url(host="good.test"))
        ping = api.request("ping", "POST", good, text='"response_code":200')
        collection = api.attacker.path("webhooks")
        async with api.watched(ping) as watch, api.session() as session:

            async def create_and_ping(client: int) -> None:
                uri = f"http://dead-{client}.test/"
                document = {"data": {"name": "Hook", "uri": uri, "hook": "all"}}
                async with session.put(collection, json=document) as created:
                    watch.outcomes[f"created {created.status}"] += 1
                    if created.status != 201:
                        return
                    webhook_id = (await created.json())["data"]["id"]
                async with session.post(f"{collection}/{webhook_id}/ping", json={}) as pinged:
                    watch.outcomes[f"pinged {pinged.status}"] += 1
                async with session.delete(f"{collection}/{webhook_id}"):
                    return

            async with repeating(create_and_ping, size):
                await watch.hold()
    return watch.report


ATTACK = Attack(
    name="dead host names",
    sent="pings of {size} webhooks of one tenant whose names are not resolved",
    quick=20,
    long=65,
    run=attack,
    wrapper=dead_names,
    # Twice as many look-ups can be in progress; one without a response lasts longer than its ping.
    quick_settings={"AFTERTONE_WEBHOOK_CONCURRENCY": "8"},
)


def _can_change_names() -> bool:
    """Only root can have a name server and a `resolv.conf` of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "true"], check=False).returncode == 0  # noqa: S607


@sizes(ATTACK)
async def test_dead_host_names_leave_look_ups_for_others(
    service: RunningService, size: int
) -> None:
    if not _can_change_names():
        pytest.skip("needs root and namespaces")
    (await ATTACK.measure(service, size)).check()
