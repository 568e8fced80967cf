"""`deploy/compose.yaml` names what there is: settings, commands, channels, its own parts."""

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
# Transcription needs an engine for speech recognition, which is not brought here.
RUN_HERE = CHANNELS.keys() - {"transcription"}
PROCESSES = {name: each for name, each in OURS.items() if name != "keys"}


def test_every_process_is_there() -> None:
    assert PROCESSES.keys() == {"api", "relay", "keeper", "migrate", *RUN_HERE}
    for name, each in PROCESSES.items():
        command, *channels = each["command"]
        assert command in cli.commands
        assert name == (channels[0] if channels else command)


@pytest.mark.parametrize("name", PROCESSES)
def test_every_variable_is_a_setting_with_a_value_that_is_taken(name: str) -> None:
    read_settings(PROCESSES[name]["environment"])


def test_a_process_carries_only_what_it_needs() -> None:
    told = {name: each["environment"].keys() for name, each in PROCESSES.items()}
    assert _with("AFTERTONE_OWNER_DATABASE_URL", told) == {"keeper", "migrate"}
    assert _with("AFTERTONE_DATABASE_URL", told) == told.keys() - {"keeper"}
    assert _with("AFTERTONE_NATS_URL", told) == {"relay", *RUN_HERE}
    assert _with("AWS_SECRET_ACCESS_KEY", told) == {"api", "email", "keeper"}
    assert _with("AFTERTONE_KEY_RING_FILE", told) == {"api", "webhook"}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_write_nowhere_but_below_tmp_and_have_no_rights(name: str) -> None:
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


def test_hosts_in_addresses_are_services() -> None:
    for each in PROCESSES.values():
        for name, value in each["environment"].items():
            if "://" in value:
                host = value.split("://")[1].split("@")[-1].split("/")[0].split(":")[0]
                assert host in SERVICES, name


def test_nothing_is_reachable_from_other_machines() -> None:
    ports = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_volumes_and_configs_are_declared() -> None:
    mounted = {name.split(":")[0] for each in SERVICES.values() for name in each.get("volumes", [])}
    assert mounted == COMPOSE["volumes"].keys()
    named = {one["source"] for each in SERVICES.values() for one in each.get("configs", [])}
    assert named == COMPOSE["configs"].keys()


def _with(name: str, told: dict[str, Any]) -> set[str]:
    return {process for process, names in told.items() if name in names}
