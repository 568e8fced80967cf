"""Slow uploads of one tenant leave slots for the stores of others."""

import asyncio

from tests.attacks.harness import Attack, AttackedApi, Report, repeating, sizes, status_of
from tests.support.running import RunningService

_BODY_BYTES = 7_900_000
# Enough to take a slot, then a little more than the minimum rate of 8 000 bytes a second.
_BURST = b"x" * 65_536
_PIECE, _PAUSE_S = b"x" * 5_000, 0.5


async def attack(api: AttackedApi, size: int) -> Report:
    """Each client uploads at the lowest rate that is accepted, and again after a refusal."""
    vmbox_id = await api.attacker.a_vmbox()
    head = (
        f"PUT /v2/{api.attacker.path('vmboxes', vmbox_id, 'messages')} HTTP/1.1\r\nHost: x\r\n"
        f"X-Auth-Token: {api.attacker.token}\r\nContent-Type: audio/mpeg\r\n"
        f"Content-Length: {_BODY_BYTES}\r\n\r\n"
    ).encode()
    async with api.watched() as watch:

        async def upload(_client: int) -> None:
            reader, writer = await api.connect()
            writer.write(head + _BURST)
            sending = asyncio.create_task(_trickle(writer))
            try:
                watch.outcomes[await status_of(reader)] += 1
            finally:
                sending.cancel()
                writer.transport.abort()

        async with repeating(upload, size):
            await watch.hold()
    return watch.report


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(_PIECE)
        await asyncio.sleep(_PAUSE_S)


ATTACK = Attack(
    name="slow uploads",
    sent="{size} uploads of one tenant at 10 kB/s",
    quick=16,
    long=64,
    run=attack,
    quick_settings={
        "AFTERTONE_MAX_UPLOADS_IN_FLIGHT": "16",
        "AFTERTONE_MAX_UPLOADS_PER_ACCOUNT": "4",
    },
)


@sizes(ATTACK)
async def test_slow_uploads_of_one_tenant_leave_slots_for_others(
    service: RunningService, size: int
) -> None:
    (await ATTACK.measure(service, size)).check()
