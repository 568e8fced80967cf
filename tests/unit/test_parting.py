"""What the answers of a process that is to stop say of their connections."""

from typing import Any

import pytest

from service.api.parting import Parting


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b"1")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def headers_of(parting: Parting, version: str) -> list[tuple[bytes, bytes]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "http_version": version}
    await parting(scope, None, send)  # type: ignore[arg-type]
    return list(sent[0]["headers"])


@pytest.mark.parametrize(("version", "ends"), [("1.1", True), ("1.0", True), ("2", False)])
async def test_its_answers_end_their_connections_from_then_on(version: str, ends: bool) -> None:
    parting = Parting(answer)
    assert await headers_of(parting, version) == [(b"etag", b"1")]
    parting.begin()
    assert ((b"connection", b"close") in await headers_of(parting, version)) is ends
