"""`deploy/compose.yaml` uses existing settings, commands, channels and services."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.__main__ import cli
from service.settings import read_settings
from service.wiring.notifiers import CHANNELS

COMPOSE: dict[str, Any] = msgspec.yaml.decode(
    (Path(__file__).parents[2] / "deploy" / "compose.yaml").read_bytes()
)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
# Transcription needs a speech recognition engine, which compose does not provide.
RUN_HERE = CHANNELS.keys() - {"transcription"}
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
    assert _services_with("AFTERTONE_NATS_URL", environments) == {"relay", *RUN_HERE}
    assert _services_with("AWS_SECRET_ACCESS_KEY", environments) == {"api", "email", "keeper"}
    assert _services_with("AFTERTONE_KEY_RING_FILE", environments) == {"api", "webhook"}


def test_only_the_api_reads_the_keys_that_sign_tokens() -> None:
    mounted = {
        name: volume.split(":")[0]
        for name, each in PROCESSES.items()
        for volume in each.get("volumes", [])
    }
    assert mounted == {"api": "keys", "webhook": "notifier-keys"}


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
            if "://" in value:
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
