"""Measurements: each part of the service beside the ceilings of its dependencies."""

from collections.abc import Awaitable, Callable
from itertools import cycle, islice
from uuid import uuid4

import msgspec

from service.audio.keys import message_key
from tests.benchmarks.latency import event_latency
from tests.benchmarks.load import Job, Step
from tests.benchmarks.measure import Result, loaded
from tests.benchmarks.requests import (
    AUDIO_BYTES,
    MESSAGE_BODY,
    MULTIPART_TYPE,
    dealt,
    head,
    json_body,
    multipart_body,
    shuffled,
    some_audio,
)
from tests.benchmarks.stack import Stack
from tests.benchmarks.statements import Script, folder_script, store_script

_WARM_UP_S = 1.0
# New keys for so many PUTs a second; a faster store writes the first ones again.
_KEYS_PER_SECOND = 3000
# New idempotency keys for so many stores a second; a faster service repeats the first ones.
_STORES_PER_SECOND = 1500
_JSON = "application/json"


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """The stack and how long each measurement takes."""

    stack: Stack
    seconds: float

    async def load(
        self,
        name: str,
        address: tuple[str, int],
        requests: list[list[bytes]],
        body: bytes = b"",
        trees: dict[str, int] | None = None,
        *,
        redirects: bool = False,
    ) -> Result:
        job = Job(
            host=address[0],
            port=address[1],
            requests=requests,
            body=body,
            warm_up_s=_WARM_UP_S,
            seconds=self.seconds,
            redirects=redirects,
        )
        return await loaded(name, job, trees or self.stack.trees())

    async def exchange(
        self,
        name: str,
        port: int,
        logins: list[list[Step]],
        exchanges: list[list[list[Step]]],
        trees: dict[str, int],
    ) -> Result:
        job = Job(
            host="127.0.0.1",
            port=port,
            logins=logins,
            exchanges=exchanges,
            warm_up_s=_WARM_UP_S,
            seconds=self.seconds,
        )
        return await loaded(name, job, trees)

    async def pgbench(self, name: str, script: Script, clients: int) -> Result:
        pgbench = self.stack.pgbench
        await pgbench.run(script, clients, _WARM_UP_S, {})
        ran = await pgbench.run(script, clients, self.seconds, self.stack.trees())
        return Result.of(name, clients, ran.latencies_ms, ran.seconds, ran.cpu_ms)


Measure = Callable[[Bench, int], Awaitable[Result]]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the service and the ceilings that it is held against, measured before and after.

    `paced` runs with one client only.
    """

    name: str
    measure: Measure
    ceilings: tuple[Measure, ...] = ()
    paced: bool = False


async def s3_put(bench: Bench, clients: int) -> Result:
    """64 kB under a new key each time, in the form of the service's keys: a folder for each message
    costs a store with folders more than a new name in an old one."""
    stack = bench.stack
    count = round((bench.seconds + _WARM_UP_S) * _KEYS_PER_SECOND)
    run = uuid4()
    keys = (message_key(202601, run, uuid4(), uuid4(), "mp3") for _ in range(count))
    targets = (stack.presigner.target("PUT", key) for key in keys)
    heads = [
        head("PUT", target, stack.presigner.host, AUDIO_BYTES, content_type="audio/mpeg")
        for target in targets
    ]
    return await bench.load("S3 PUT", stack.s3_address, dealt(heads, clients), some_audio())


async def s3_get(bench: Bench, clients: int) -> Result:
    """The objects that the service reads for `raw`."""
    stack = bench.stack
    heads = [
        head("GET", stack.presigner.target("GET", message.audio_key), stack.presigner.host)
        for message in stack.messages
    ]
    return await bench.load("S3 GET", stack.s3_address, shuffled(heads, clients))


async def pgbench_store(bench: Bench, clients: int) -> Result:
    return await bench.pgbench("pgbench store", await store_script(with_audio=True), clients)


async def pgbench_store_json(bench: Bench, clients: int) -> Result:
    return await bench.pgbench("pgbench store-json", await store_script(with_audio=False), clients)


async def pgbench_folder(bench: Bench, clients: int) -> Result:
    return await bench.pgbench("pgbench folder", await folder_script(), clients)


async def static(bench: Bench, clients: int) -> Result:
    """A page of 50 messages that is always the same, from the service's HTTP stack."""
    stack = bench.stack
    port = stack.ports["static"]
    request = head("GET", "/", f"127.0.0.1:{port}")
    return await bench.load(
        "static reply", ("127.0.0.1", port), [[request]] * clients, trees=stack.trees("static")
    )


async def bare_path(bench: Bench, clients: int) -> Result:
    """The same requests as `store`, to a server that only parses, puts and inserts."""
    return await _stored(bench, "bare path", clients, multipart_body(), MULTIPART_TYPE, "bare")


async def store(bench: Bench, clients: int) -> Result:
    """A message with 64 kB of audio in one request."""
    return await _stored(bench, "store", clients, multipart_body(), MULTIPART_TYPE)


async def store_json(bench: Bench, clients: int) -> Result:
    """A message that awaits its audio."""
    return await _stored(bench, "store-json", clients, MESSAGE_BODY, _JSON)


async def _stored(
    bench: Bench, name: str, clients: int, body: bytes, kind: str, server: str = "api"
) -> Result:
    stack = bench.stack
    heads = [
        stack.head("PUT", stack.target(box), len(body), content_type=kind)
        for box in stack.store_boxes
    ]
    requests = shuffled(heads, clients)
    return await bench.load(name, stack.address_of(server), requests, body, stack.trees(server))


async def store_once(bench: Bench, clients: int) -> Result:
    """As `store`, with a new idempotency key in each request."""
    stack, body = bench.stack, multipart_body()
    count = round((bench.seconds + _WARM_UP_S) * _STORES_PER_SECOND)
    heads = [
        stack.head(
            "PUT",
            stack.target(box),
            len(body),
            content_type=MULTIPART_TYPE,
            idempotency_key=uuid4().hex,
        )
        for box in islice(cycle(stack.store_boxes), count)
    ]
    requests = dealt(heads, clients)
    return await bench.load("store+key", stack.api_address, requests, body)


async def list_page(bench: Bench, clients: int) -> Result:
    """The first 50 messages of a box."""
    return await _listed(bench, "list", clients)


async def bare_list(bench: Bench, clients: int) -> Result:
    return await _listed(bench, "bare list", clients, "bare")


async def _listed(bench: Bench, name: str, clients: int, server: str = "api") -> Result:
    stack = bench.stack
    requests = [stack.head("GET", stack.target(box)) for box in stack.read_boxes]
    return await bench.load(
        name, stack.address_of(server), shuffled(requests, clients), trees=stack.trees(server)
    )


async def get_message(bench: Bench, clients: int) -> Result:
    """The metadata of a message."""
    stack = bench.stack
    requests = [
        stack.head("GET", stack.target(message.vmbox_id, message.media_id))
        for message in stack.messages
    ]
    return await bench.load("get", stack.api_address, shuffled(requests, clients))


async def folder(bench: Bench, clients: int) -> Result:
    """Moves a message to `saved`, then back, so that each request changes it."""
    return await _filed(bench, "folder", clients)


async def bare_folder(bench: Bench, clients: int) -> Result:
    return await _filed(bench, "bare folder", clients, "bare")


async def _filed(bench: Bench, name: str, clients: int, server: str = "api") -> Result:
    stack = bench.stack
    bodies = (json_body(folder="saved"), json_body(folder="new"))
    requests = [
        [
            stack.head("POST", target, len(body), content_type=_JSON) + body
            for message in own
            for target in (stack.target(message.vmbox_id, message.media_id),)
            for body in bodies
        ]
        for own in dealt(stack.messages, clients)
    ]
    return await bench.load(name, stack.address_of(server), requests, trees=stack.trees(server))


async def raw(bench: Bench, clients: int) -> Result:
    """The audio of a message."""
    return await _read(bench, "raw", clients)


async def bare_raw(bench: Bench, clients: int) -> Result:
    return await _read(bench, "bare raw", clients, "bare")


async def _read(bench: Bench, name: str, clients: int, server: str = "api") -> Result:
    stack = bench.stack
    requests = [
        stack.head("GET", stack.target(message.vmbox_id, message.media_id, "raw"))
        for message in stack.messages
    ]
    return await bench.load(
        name, stack.address_of(server), shuffled(requests, clients), trees=stack.trees(server)
    )


async def events(bench: Bench, _clients: int) -> Result:
    """From the 2xx of a store until a subscriber of the stream has the event."""
    return await event_latency(bench.stack, bench.seconds)
