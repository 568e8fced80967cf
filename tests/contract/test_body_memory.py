"""Bodies in memory: before sign-in, of one account, of all requests together."""

import asyncio
from typing import Any

import httpx
import pytest

from service.api.middleware.access_log import RequestRecord
from service.api.middleware.body_memory import BodyMemory
from service.domain.errors import TooManyBodies
from service.usecases.slots import SharedSlots
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

KIB = 1024
JSON = {"Content-Type": "application/json"}


def padded(document: str, size: int) -> bytes:
    return document.encode() + b" " * (size - len(document))


async def status_of_incomplete(service: RunningService, path: str, *head: str, size: int) -> int:
    """The status of a request of `size` bytes that never sends the last one."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"PUT {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *head]
    writer.write("\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode())
    writer.write(b"{" + b" " * (size - 2))
    try:
        return int((await reader.readline()).split()[1])
    finally:
        writer.transport.abort()


async def test_a_large_body_without_a_token_is_refused_before_it_is_complete(
    service: RunningService, account: AccountClient
) -> None:
    path = f"/v2/{account.path('vmboxes')}"
    assert await status_of_incomplete(service, path, size=1000 * KIB) == 401
    assert await status_of_incomplete(service, path, "X-Auth-Token: x", size=1000 * KIB) == 401
    assert await status_of_incomplete(service, "/v2/nothing", size=60 * KIB) == 404


async def test_a_sign_in_of_more_than_64_kib_is_refused(service: RunningService) -> None:
    async with httpx.AsyncClient(base_url=service.url) as nobody:

        async def sign_in(content: Any) -> httpx.Response:
            return await nobody.put("/v2/user_auth", content=content, headers=JSON)

        async def chunked() -> Any:
            for _ in range(10):
                yield b" " * 8 * KIB

        for body in (padded("{}", 65 * KIB), chunked()):
            refused = await sign_in(body)
            assert refused.status_code == 413
            assert refused.json()["data"]["data"]["maxSize"]["target"] == 64 * KIB
        assert (await sign_in(padded("{}", 64 * KIB))).status_code == 400


async def test_a_token_in_the_body_works_up_to_64_kib(
    service: RunningService, account: AccountClient
) -> None:
    async with httpx.AsyncClient(base_url=service.url) as nobody:

        async def create(size: int) -> int:
            text = f'{{"auth_token": "{account.token}", "data": {{"name": "Box", "mailbox": "7"}}}}'
            path = f"/v2/{account.path('vmboxes')}"
            answer = await nobody.put(path, content=padded(text, size), headers=JSON)
            return answer.status_code

        assert await create(65 * KIB) == 401
        assert await create(64 * KIB) == 201


async def test_a_verb_in_a_large_body_works_with_a_token_in_the_head(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id)
    body = padded('{"verb": "DELETE"}', 500 * KIB)

    data_of(await account.http.post(path, content=body, headers=JSON))

    assert (await account.http.get(path)).status_code == 404


async def test_bodies_of_one_account_beyond_its_share_are_refused_and_others_are_accepted(
    service: RunningService, account: AccountClient
) -> None:
    other = await service.an_account()
    host, port = service.url.removeprefix("http://").split(":")
    held = []

    async def hold_body() -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"PUT /v2/{account.path('vmboxes')} HTTP/1.1\r\nHost: x\r\n"
            f"X-Auth-Token: {account.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {1024 * KIB}\r\n\r\n"
        )
        writer.write(head.encode() + b" " * (1024 * KIB - 1))
        held.append(writer)

    for _ in range(16):
        await hold_body()

    async def create(of: AccountClient, number: str) -> httpx.Response:
        text = f'{{"data": {{"name": "Box", "mailbox": "{number}"}}}}'
        path = of.path("vmboxes")
        return await of.http.put(path, content=padded(text, 200 * KIB), headers=JSON)

    async def is_refused() -> bool:
        # A body that arrives at the same time may have taken the place of one that is held.
        await hold_body()
        return (await create(account, "1")).status_code == 503

    await wait_until(is_refused, 60)
    refused = await create(account, "2")
    assert (refused.status_code, refused.json()["message"]) == (503, "service_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    data_of(await create(other, "1"), 201)
    # Small requests need no share.
    await account.a_vmbox()
    for writer in held:
        writer.transport.abort()

    async def is_accepted() -> bool:
        return (await create(account, "3")).status_code == 201

    await wait_until(is_accepted, 60)
    await other.http.aclose()


def test_memory_is_counted_once_for_the_same_bytes_and_released() -> None:
    slots = SharedSlots(100 * KIB, 50 * KIB, TooManyBodies)
    memory = BodyMemory(slots, RequestRecord(method="PUT", started_at=0), lambda: "192.0.2.1")
    memory.hold(8 * KIB)
    assert slots.used == 0
    memory.hold(20 * KIB)
    memory.hold(20 * KIB)
    assert slots.used == 12 * KIB

    with pytest.raises(TooManyBodies):
        memory.hold(60 * KIB)
    memory.release()

    assert slots.used == 0
