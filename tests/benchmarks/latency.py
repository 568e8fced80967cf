"""Event latency: from the 2xx of a store until a subscriber of the stream has the event."""

import asyncio
import random
import socket
import time
from collections.abc import Collection

import msgspec
import nats
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from tests.benchmarks.load import LENGTH
from tests.benchmarks.measure import BenchFailed, Result
from tests.benchmarks.requests import MULTIPART_TYPE, multipart_body
from tests.benchmarks.stack import Stack
from tests.support.waiting import wait_until

# Uneven, so that the stores do not keep step with whatever polls.
_PAUSES_S = (0.02, 0.06)
_PATIENCE_S = 30.0
_WARM_UP_S = 1.0


class _Named(msgspec.Struct):
    media_id: str


class _Stored(msgspec.Struct):
    data: _Named


async def event_latency(stack: Stack, seconds: float) -> Result:
    """One client stores at a pace. The subscriber is an ordered consumer of the stream.

    The thread that stores and the loop that receives use the same clock.
    """
    received: dict[str, float] = {}

    async def record(message: Msg) -> None:
        received[(message.headers or {}).get("ce-subject", "")] = time.perf_counter()

    client = await nats.connect(stack.servers.nats.url())
    try:
        subject = f"voicemail.v1.{stack.account.account_id}.*.message.new"
        await client.jetstream().subscribe(
            subject, cb=record, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW
        )
        answered = await asyncio.to_thread(_store_at_a_pace, stack, seconds)
        await _until_received(answered.keys(), received)
    finally:
        await client.close()
    latencies = sorted((received[name] - moment) * 1000 for name, moment in answered.items())
    return Result.of("events", 1, latencies, seconds, None)


def _store_at_a_pace(stack: Stack, seconds: float) -> dict[str, float]:
    """Returns the time of each acknowledgement by message id, without those of the warm-up."""
    body = multipart_body()
    heads = [
        stack.head("PUT", stack.target(box), len(body), content_type=MULTIPART_TYPE)
        for box in stack.store_boxes
    ]
    pace = random.Random(0)
    answered: dict[str, float] = {}
    with socket.create_connection(stack.api_address, timeout=_PATIENCE_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.perf_counter()
        while (now := time.perf_counter()) < begun + _WARM_UP_S + seconds:
            client.sendall(pace.choice(heads) + body)
            answer = _answer(client)
            moment = time.perf_counter()
            if now >= begun + _WARM_UP_S:
                answered[_media_id(answer)] = moment
            time.sleep(pace.uniform(*_PAUSES_S))
    return answered


def _answer(client: socket.socket) -> bytes:
    """Head and body of a small answer."""
    answer = bytearray()
    while piece := client.recv(64 * 1024):
        answer += piece
        head, ended, body = answer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if ended and (length is None or len(body) >= int(length[1])):
            break
    return bytes(answer)


def _media_id(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 201"):
        raise BenchFailed(f"events: {answer[:1000].decode(errors='replace')}")
    return msgspec.json.decode(body, type=_Stored).data.media_id


async def _until_received(names: Collection[str], received: dict[str, float]) -> None:
    try:
        await wait_until(lambda: received.keys() >= set(names), _PATIENCE_S)
    except AssertionError as error:
        missing = set(names) - received.keys()
        raise BenchFailed(
            f"events: {len(missing)} are missing after {_PATIENCE_S:.0f} s"
        ) from error
