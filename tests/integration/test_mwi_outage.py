"""Lamps during a database outage: unchanged, and correct afterwards."""

from urllib.parse import urlsplit

from service.domain.lamp import LampKey
from service.postgres.pool import Database
from service.workers.channels.mwi import KvLamps
from tests.support.builders import a_vmbox, stored
from tests.support.database import TestDatabase
from tests.support.lamp_harness import LampHarness
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until


async def test_no_lamp_is_written_while_the_database_is_unavailable(
    lamp_harness: LampHarness, test_database: TestDatabase
) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box)
    port = urlsplit(test_database.url).port
    assert port
    async with Proxy.before(port) as proxy:
        url = test_database.url.replace(f":{port}/", f":{proxy.port}/")
        async with Database.open(url, size=4, timeout_s=1, name="test far") as far:
            levels = KvLamps(far, lamp_harness.bucket)
            await proxy.refuse()
            async with lamp_harness.relay(), lamp_harness.following("mwi", levels):
                await wait_until(lambda: _is_redelivered(lamp_harness))
                assert await lamp_harness.stored_lamp(box) is None
                await proxy.admit()
                await lamp_harness.until_correct(box)
                assert await lamp_harness.stored_lamp(box) is not None
                await lamp_harness.until_all_acked()
    held = await lamp_harness.bucket.read(LampKey(box.account_id, box.vmbox_id))
    assert held.lamp is not None
    assert held.lamp.new == 1


async def _is_redelivered(harness: LampHarness) -> bool:
    """True after every event was delivered and at least one was redelivered."""
    info = await harness.consumer("notifier-mwi")
    return info is not None and bool(info.num_redelivered) and not info.num_pending
