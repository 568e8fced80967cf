"""`deploy/compose.yaml` uses existing settings, commands, channels and services."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest

from service.__main__ import cli
from service.embedded.binaries import installed_programs
from service.settings import read_settings
from service.wiring.notifiers import CHANNELS
from tests.support.ports import free_port
from tests.support.waiting import wait_until

COMPOSE: dict[str, Any] = msgspec.yaml.decode(
    (Path(__file__).parents[2] / "deploy" / "compose.yaml").read_bytes()
)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
RUN_HERE = CHANNELS.keys()
PROCESSES = {name: each for name, each in OURS.items() if name != "keys"}


def test_every_process_is_a_service() -> None:
    assert PROCESSES.keys() == {"api", "relay", "keeper", "migrate", *RUN_HERE}
    for name, each in PROCESSES.items():
        command, *channels = each["command"]
        assert command in cli.commands
        assert name == (channels[0] if channels else command)


@pytest.mark.parametrize("name", PROCESSES)
def test_every_variable_is_a_setting_with_a_valid_value(name: str) -> None:
    read_settings(PROCESSES[name]["environment"])


def test_a_process_receives_only_the_variables_that_it_needs() -> None:
    environments = {name: each["environment"].keys() for name, each in PROCESSES.items()}
    assert _services_with("AFTERTONE_OWNER_DATABASE_URL", environments) == {"keeper", "migrate"}
    assert _services_with("AFTERTONE_DATABASE_URL", environments) == environments.keys() - {
        "keeper"
    }
    assert _services_with("AFTERTONE_NATS_URL", environments) == {
        "relay",
        "keeper",
        *RUN_HERE,
    }
    assert _services_with("AWS_SECRET_ACCESS_KEY", environments) == {
        "api",
        "email",
        "media",
        "transcription",
        "keeper",
    }
    assert _services_with("AFTERTONE_KEY_RING_FILE", environments) == {"api", "email", "webhook"}


def test_only_the_api_reads_the_keys_that_sign_tokens() -> None:
    mounted = {
        name: volume.split(":")[0]
        for name, each in PROCESSES.items()
        for volume in each.get("volumes", [])
        if "keys" in volume
    }
    assert mounted == {"api": "keys", "email": "notifier-keys", "webhook": "notifier-keys"}


def test_webhooks_reach_no_private_network_and_need_https() -> None:
    for each in PROCESSES.values():
        assert not [name for name in each["environment"] if "WEBHOOK_ALLOW" in name]


def test_images_of_others_are_pinned_by_version() -> None:
    images = {each["image"] for name, each in SERVICES.items() if name not in OURS}
    assert images
    assert [image for image in images if not re.fullmatch(r"\S+:v?\d+\.\d+\S*", image)] == []


async def test_nats_refuses_clients_without_credentials(tmp_path: Path) -> None:
    content = COMPOSE["configs"]["nats"]["content"].replace("$$", "$")
    config = tmp_path / "nats.conf"
    config.write_text(content.replace("/data", str(tmp_path)).replace("http_port: 8222", ""))
    server = installed_programs().nats_server
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        server, "--config", config, "--addr", "127.0.0.1", "--port", str(port)
    )
    try:
        await _listens(port)
        service = await nats.connect(f"nats://aftertone:aftertone@127.0.0.1:{port}")
        await service.jetstream().add_stream(name="VOICEMAIL", subjects=["voicemail.v1.>"])
        await service.jetstream().publish("voicemail.v1.event", b"event")
        assert "Authorization Violation" in await _first_answer(port)

        refused: list[str] = []

        async def note(error: Exception) -> None:
            refused.append(str(error))

        subscriber = await nats.connect(
            f"nats://subscriber:subscriber@127.0.0.1:{port}", error_cb=note
        )
        await subscriber.publish("voicemail.v1.event", b"forged")
        await wait_until(lambda: bool(refused))
        assert "permissions violation for publish" in refused[0].lower()
        await subscriber.close()
        await service.close()
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> None:
    async def accepts() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    await wait_until(accepts)


async def _first_answer(port: int) -> str:
    """Returns the text that NATS sends to a client without credentials."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b'CONNECT {"verbose": false}\r\nPING\r\n')
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


@pytest.mark.parametrize("name", OURS)
def test_containers_write_only_to_tmp_and_have_no_capabilities(name: str) -> None:
    each = OURS[name]
    assert each["read_only"] is True
    assert each["tmpfs"] == ["/tmp"]  # noqa: S108
    assert each["cap_drop"] == ["ALL"]
    assert ("user" in each) == (name == "keys")


def test_init_containers_wait_for_conditions_that_can_hold() -> None:
    for each in SERVICES.values():
        for name, wait in each.get("depends_on", {}).items():
            waited_for = SERVICES[name]
            if wait["condition"] == "service_healthy":
                assert "test" in waited_for["healthcheck"]
            if wait["condition"] == "service_completed_successfully":
                assert waited_for.get("restart") != "unless-stopped"


def test_hosts_in_urls_are_services() -> None:
    for each in PROCESSES.values():
        for name, value in each["environment"].items():
            if name == "AFTERTONE_PUBLIC_URL":  # for clients on this machine
                (port,) = SERVICES["api"]["ports"]
                assert value == f"http://{port.rpartition(':')[0]}"
            elif "://" in value:
                host = value.split("://")[1].split("@")[-1].split("/")[0].split(":")[0]
                assert host in SERVICES, name


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_volumes_and_configs_are_declared() -> None:
    mounted = {name.split(":")[0] for each in SERVICES.values() for name in each.get("volumes", [])}
    assert mounted == COMPOSE["volumes"].keys()
    named = {item["source"] for each in SERVICES.values() for item in each.get("configs", [])}
    assert named == COMPOSE["configs"].keys()


def _services_with(name: str, environments: dict[str, Any]) -> set[str]:
    return {process for process, names in environments.items() if name in names}
