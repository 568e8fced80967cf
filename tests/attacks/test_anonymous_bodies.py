"""Bodies of clients that are not signed in are refused early and take little memory."""

import asyncio
from contextlib import suppress

from tests.attacks.harness import Attack, AttackedApi, Report, sizes, status_of
from tests.support.running import RunningService

_BODY_BYTES = 1_048_576
_PIECE_BYTES = 65_536
_ANSWER_WITHIN_S = 60
# The service accepts 64 KiB without a token; the rest is slack for buffers of sockets.
_MEMORY_MB, _KIB_PER_BODY = 64, 128


async def attack(api: AttackedApi, size: int) -> Report:
    """Each client sends a body without its last byte and waits for the response."""
    head = (
        f"PUT /v2/{api.attacker.path('vmboxes')} HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: application/json\r\nContent-Length: {_BODY_BYTES}\r\n\r\n"
    ).encode()

    async def send_body() -> str:
        reader, writer = await api.connect()
        writer.write(head)
        sending = asyncio.create_task(_send_body(writer))
        try:
            return await asyncio.wait_for(status_of(reader), _ANSWER_WITHIN_S)
        except TimeoutError:
            return "no response"
        finally:
            sending.cancel()
            writer.transport.abort()

    async with api.watched() as watch:
        sending = asyncio.gather(*(send_body() for _ in range(size)))
        await watch.hold()
        watch.outcomes.update(await sending)
    return watch.report


async def _send_body(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        for start in range(0, _BODY_BYTES - 1, _PIECE_BYTES):
            writer.write(b" " * min(_PIECE_BYTES, _BODY_BYTES - 1 - start))
            await writer.drain()


ATTACK = Attack(
    name="bodies before sign-in",
    sent="{size} bodies of 1 MiB without a token and without the last byte",
    quick=80,
    long=300,
    run=attack,
)


@sizes(ATTACK)
async def test_bodies_without_a_token_are_refused_early(service: RunningService, size: int) -> None:
    report = await ATTACK.measure(service, size)
    report.check()
    assert report.outcomes["401"] + report.outcomes["413"] > 0
    # The response is lost when the connection ends while the client still sends.
    assert report.outcomes.keys() <= {"401", "413", "closed"}
    assert report.peak_mb - report.idle_mb < _MEMORY_MB + size * _KIB_PER_BODY / 1024
