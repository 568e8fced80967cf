"""Bus with a real NATS server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import structlog
from nats.js.api import StreamConfig

from service.bus import Bus, BusAccess, StreamSettings
from service.bus.probe import probe_bus
from service.domain.errors import BusUnavailable
from service.domain.events import Event
from service.embedded.binaries import installed_programs
from service.embedded.cluster.nats import NatsNode, NatsPorts
from service.embedded.servers import EmbeddedServers
from tests.support.ports import free_port
from tests.support.relay import everything_in, jetstream
from tests.support.smtp import certificate
from tests.support.waiting import wait_until


@pytest_asyncio.fixture(loop_scope="session")
async def bus(servers: EmbeddedServers, stream: StreamSettings) -> AsyncIterator[Bus]:
    async with Bus.open(servers.nats.url(), name="test", stream=stream) as opened:
        await until_connected(opened)
        yield opened


async def until_connected(bus: Bus) -> None:
    await wait_until(lambda: bus.connected)


def an_event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "account_id": uuid4(),
        "vmbox_id": uuid4(),
        "sequence": 1,
        "event_id": uuid4(),
        "type": "vmbox.created",
        "created_at": datetime(2026, 3, 1, tzinfo=UTC),
        "data": b'{"vmbox_id": "x", "sequence": 1}',
    }
    return Event(**{**fields, **changes})


async def test_an_event_is_stored_once_with_its_envelope(
    bus: Bus, servers: EmbeddedServers, stream: StreamSettings
) -> None:
    await bus.declare()
    event = an_event()
    first, again = await bus.publish(event), await bus.publish(event)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.stream_seq == again.stream_seq == 1
    [received] = await everything_in(servers.nats.url(), stream)
    assert received.headers["ce-type"] == "voicemail.vmbox.created"
    assert received.subject == (
        f"{stream.subject_prefix}.{event.account_id.hex}.{event.vmbox_id.hex}.vmbox.created"
    )


async def test_the_stream_is_created_with_the_documented_configuration(
    bus: Bus, servers: EmbeddedServers, stream: StreamSettings
) -> None:
    made = await bus.declare()
    assert await bus.declare() == made
    async with jetstream(servers.nats.url()) as js:
        config = (await js.stream_info(stream.name)).config
    assert (config.storage, config.retention, config.discard) == ("file", "limits", "old")
    assert (config.max_age, config.duplicate_window) == (7 * 86_400, 600)
    assert config.subjects == [f"{stream.subject_prefix}.>"]


async def test_a_stream_that_differs_is_logged_once_and_not_changed(
    bus: Bus, servers: EmbeddedServers, stream: StreamSettings
) -> None:
    other = StreamConfig(
        name=stream.name, subjects=[f"{stream.subject_prefix}.>"], max_age=60, duplicate_window=30
    )
    async with jetstream(servers.nats.url()) as js:
        await js.add_stream(other)
        with structlog.testing.capture_logs() as logs:
            await bus.declare()
            await bus.declare()
        kept = (await js.stream_info(stream.name)).config
    assert [log["fields"] for log in logs if "fields" in log] == [["duplicate_window", "max_age"]]
    assert kept.max_age == 60


async def test_a_publish_without_a_stream_is_unavailable(bus: Bus) -> None:
    with pytest.raises(BusUnavailable):
        await bus.publish(an_event())


async def test_an_event_that_is_too_large_is_refused_and_keeps_the_connection(
    bus: Bus,
) -> None:
    await bus.declare()
    connections = bus.connections
    # The server counts the headers as well.
    with pytest.raises(BusUnavailable):
        await bus.publish(an_event(data=b"x" * (1_048_576 - 100)))
    assert (await bus.publish(an_event())).stream_seq == 1
    assert bus.connections == connections


async def test_a_bus_opens_while_nats_is_down_and_connects_later(
    servers: EmbeddedServers, stream: StreamSettings
) -> None:
    await servers.nats.stop()
    try:
        async with Bus.open(servers.nats.url(), name="test", stream=stream) as bus:
            assert not bus.connected
            with pytest.raises(BusUnavailable):
                await bus.publish(an_event())
            with pytest.raises(BusUnavailable):
                await bus.declare()
            await servers.nats.start()
            await until_connected(bus)
            await bus.declare()
            assert (await bus.publish(an_event())).stream_seq == 1
    finally:
        await servers.nats.start()


async def test_a_server_that_does_not_answer_is_unavailable(
    servers: EmbeddedServers, stream: StreamSettings
) -> None:
    async with Bus.open(servers.nats.url(), name="test", stream=stream, ack_timeout_s=0.3) as bus:
        await until_connected(bus)
        await bus.declare()
        servers.nats.suspend()
        try:
            with pytest.raises(BusUnavailable):
                await bus.publish(an_event())
        finally:
            servers.nats.resume()


async def test_a_bus_that_never_connected_closes_without_an_error(stream: StreamSettings) -> None:
    attempts = 0

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Bus.open(f"nats://127.0.0.1:{port}", name="test", stream=stream) as bus:
            await wait_until(lambda: attempts > 0)
        assert not bus.connected


async def test_a_bus_connects_with_tls_and_a_client_certificate(
    servers_folder: Path, tmp_path: Path
) -> None:
    _, public = certificate(tmp_path)
    client, route, http, other = (free_port() for _ in range(4))
    ports = NatsPorts(client=client, route=route, http=http)
    logs = servers_folder / "logs" / "nats-tls.log"
    node = NatsNode("tls", tmp_path / "nats", logs, installed_programs(), ports)
    node.routes = (other,)  # JetStream needs another node, even if it does not run
    files = {"cert_file": public, "key_file": tmp_path / "key.pem", "ca_file": public}
    options = "".join(f"{name}: {str(file)!r}\n" for name, file in files.items())
    node.more_configuration = f"tls {{\n{options}verify: true\n}}"
    await node.start()
    try:
        access = BusAccess(
            ca_file=str(public),
            certificate_file=str(public),
            key_file=str(tmp_path / "key.pem"),
        )
        url = f"tls://127.0.0.1:{client}"
        async with Bus.open(url, name="test", stream=StreamSettings(), access=access) as bus:
            await until_connected(bus)
        assert "no server responds" in await refusal(url, BusAccess(ca_file=str(public)))
    finally:
        await node.stop()


async def refusal(url: str, access: BusAccess) -> str:
    """Returns the reason why a connection is refused."""
    with pytest.raises(BusUnavailable) as refused:
        await probe_bus(url, access, StreamSettings())
    return refused.value.reason
