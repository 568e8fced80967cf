"""`python -m tests.attacks.tenant`: repeats requests and prints one JSON line for each response.

A process of its own, so that the work of the attacker does not slow its measurements. The first
line of stdin is a `Job`; the process ends when stdin does. Each request has its own connection.
"""

import asyncio
import re
import sys
import time
from itertools import cycle

import aiohttp
import msgspec

_CLIENTS = 4
_PAUSE_S = 0.1
_MESSAGE = re.compile(r'"message":"(\w+)"')


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and the status and the text that its response must have."""

    name: str
    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: bytes = b""
    status: int = 200
    text: str = ""


class Job(msgspec.Struct, frozen=True):
    """`timeout_s` is for each request."""

    requests: list[Request]
    timeout_s: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A response. `problem` is empty when it is as expected."""

    name: str
    seconds: float
    problem: str = ""


async def send(session: aiohttp.ClientSession, request: Request) -> Sample:
    """Sends a request. A timeout and a broken connection are problems."""
    began = time.monotonic()
    try:
        async with session.request(
            request.method, request.url, headers=request.headers, data=request.body or None
        ) as response:
            text = (await response.read()).decode(errors="replace")
            is_expected = response.status == request.status and request.text in text
            problem = "" if is_expected else f"{response.status} {message_of(text)}"
    except (aiohttp.ClientError, TimeoutError) as error:
        problem = type(error).__name__
    return Sample(name=request.name, seconds=time.monotonic() - began, problem=problem)


def message_of(text: str) -> str:
    """Returns the machine-readable code of an error; the rest of a response may contain a token."""
    match = _MESSAGE.search(text)
    return match[1] if match else ""


async def repeat(job: Job, stop: asyncio.Event) -> None:
    """Sends the requests in turn from several clients; requests in progress end regularly."""
    turns = cycle(job.requests)

    async def work() -> None:
        while not stop.is_set():
            sample = await send(session, next(turns))
            sys.stdout.buffer.write(msgspec.json.encode(sample) + b"\n")
            sys.stdout.buffer.flush()
            await asyncio.sleep(_PAUSE_S)

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        timeout=aiohttp.ClientTimeout(total=job.timeout_s),
    ) as session:
        await asyncio.gather(*(work() for _ in range(_CLIENTS)))


async def main() -> None:
    stdin = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin
    )
    job, stop = msgspec.json.decode(await stdin.readline(), type=Job), asyncio.Event()
    work = asyncio.create_task(repeat(job, stop))
    await stdin.read()
    stop.set()
    await work


if __name__ == "__main__":
    asyncio.run(main())
