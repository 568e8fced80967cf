"""Connection draining: `Connection: close` on each response, then the stop."""

import asyncio
from typing import Any

import pytest

from service.api.middleware.connection_draining import ConnectionDrainer
from tests.support.waiting import wait_until


async def respond(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b"1")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def closes(drainer: ConnectionDrainer, port: int, version: str = "1.1") -> bool:
    """Sends a request on a connection; returns True when the response closes it."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "http_version": version, "client": ("127.0.0.1", port)}
    await drainer.wrap(respond)(scope, None, send)  # type: ignore[arg-type]
    return (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize(("version", "ends"), [("1.1", True), ("1.0", True), ("2", False)])
async def test_responses_close_their_connections_once_draining_has_begun(
    version: str, ends: bool
) -> None:
    drainer = ConnectionDrainer()
    assert not await closes(drainer, 1, version)
    drainer.begin(lambda: None)
    assert await closes(drainer, 1, version) is ends


async def test_it_stops_as_soon_as_every_connection_is_closed() -> None:
    drainer, stopped = ConnectionDrainer(), asyncio.Event()
    for port in (1, 2, 1):
        await closes(drainer, port)
    drainer.begin(stopped.set)
    assert await closes(drainer, 3)
    assert await closes(drainer, 1)
    await asyncio.sleep(0)
    assert not stopped.is_set()
    assert await closes(drainer, 2)
    assert stopped.is_set()


async def test_without_connections_it_stops_at_once() -> None:
    drainer, stopped = ConnectionDrainer(), asyncio.Event()
    drainer.begin(stopped.set)
    await wait_until(stopped.is_set)
