"""What the answers of a process that is to stop say of their connections, and when it stops."""

import asyncio
from typing import Any

import pytest

from service.api.middleware.connection_draining import ConnectionDrainer


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b"1")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def closes(parting: ConnectionDrainer, port: int, version: str = "1.1") -> bool:
    """Asks on a connection; whether the answer ends it."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "http_version": version, "client": ("127.0.0.1", port)}
    await parting(scope, None, send)  # type: ignore[arg-type]
    return (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize(("version", "ends"), [("1.1", True), ("1.0", True), ("2", False)])
async def test_its_answers_end_their_connections_from_then_on(version: str, ends: bool) -> None:
    parting = ConnectionDrainer(answer)
    assert not await closes(parting, 1, version)
    parting.begin(lambda: None)
    assert await closes(parting, 1, version) is ends


async def test_it_stops_as_soon_as_every_connection_has_heard_of_its_end() -> None:
    parting, stopped = ConnectionDrainer(answer), asyncio.Event()
    for port in (1, 2, 1):
        await closes(parting, port)
    parting.begin(stopped.set)
    assert await closes(parting, 3)
    assert await closes(parting, 1)
    await asyncio.sleep(0)
    assert not stopped.is_set()
    assert await closes(parting, 2)
    assert stopped.is_set()


async def test_where_nobody_asks_it_stops_at_once() -> None:
    parting, stopped = ConnectionDrainer(answer), asyncio.Event()
    parting.begin(stopped.set)
    await asyncio.wait_for(stopped.wait(), 0.5)
