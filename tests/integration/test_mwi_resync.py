"""`aftertone mwi resync`: sets every lamp in the bucket and on the switch."""

from service.domain.lamp import Lamp, LampKey
from service.embedded.servers import EmbeddedServers
from tests.support.ari import PASSWORD, USER, running_ari
from tests.support.builders import a_vmbox, stored
from tests.support.database import TestDatabase
from tests.support.forked import run_command
from tests.support.lamp_harness import LampHarness
from tests.support.waiting import wait_until


async def test_a_resync_corrects_every_lamp(
    lamp_harness: LampHarness, servers: EmbeddedServers, test_database: TestDatabase
) -> None:
    async with lamp_harness.database.connection() as connection:
        boxes = [await a_vmbox(connection, mailbox=str(number)) for number in range(100, 103)]
        await stored(connection, boxes[0])

    async def connected() -> bool:
        return lamp_harness.bus.connected

    await wait_until(connected)
    await lamp_harness.bucket.ensure()
    wrong = Lamp.of(mailbox="100", new=9, saved=9, epoch=1, sequence=2)
    assert await lamp_harness.bucket.write(
        LampKey(boxes[0].account_id, boxes[0].vmbox_id), wrong, 0
    )
    async with running_ari() as ari:
        output = await _resync(
            {
                "AFTERTONE_DATABASE_URL": test_database.url,
                "AFTERTONE_NATS_URL": servers.nats.url(),
                "AFTERTONE_LAMP_BUCKET": lamp_harness.bucket.name,
                "AFTERTONE_ARI_URL": ari.url,
                "AFTERTONE_ARI_USER": USER,
                "AFTERTONE_ARI_PASSWORD": PASSWORD,
            }
        )
        assert ari.lit == {"100": (1, 0), "101": (0, 0), "102": (0, 0)}
    assert output == "3 lamps set"
    assert await lamp_harness.is_correct(*boxes)


async def _resync(environment: dict[str, str]) -> str:
    finished = await run_command({"PATH": "/usr/bin:/bin", **environment}, "mwi", "resync")
    assert finished.code == 0, finished.stderr
    return finished.stdout.strip().splitlines()[-1]
