"""Help of commands, and errors in arguments and settings."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from service.__main__ import cli
from service.wiring.notifiers import CHANNELS
from service.workers.keeper import SCHEDULE


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["dev", "--port", "99999"], "--port"),
        (["deliveries", "list", "--limit", "-3"], "--limit"),
        (["token", "issue", "root", "--hours", "0"], "--hours"),
        (["token", "issue", "root", "--hours", "99999999"], "--hours"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_name_of_its_option(
    arguments: list[str], option: str
) -> None:
    answer = CliRunner().invoke(cli, arguments)

    assert answer.exit_code == 2
    assert f"Invalid value for '{option}'" in answer.output


def test_a_key_ring_that_cannot_be_written_is_reported_in_one_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "keys.json"
    answer = CliRunner().invoke(cli, ["keys", "generate", str(missing)])

    assert answer.exit_code == 1
    assert answer.output == f"Error: {missing} cannot be written: No such file or directory.\n"


def test_the_help_lists_all_channels_and_keeper_steps() -> None:
    for command, names in (("notifier", CHANNELS), ("keeper", SCHEDULE)):
        lines = CliRunner().invoke(cli, [command, "--help"]).output.splitlines()
        listed = [line.split()[0] for line in lines[-len(names) :]]

        assert listed == list(names)
        assert all(len(line.split()) > 1 for line in lines[-len(names) :])


def test_dev_starts_no_process_if_a_setting_is_invalid(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    arguments = ["dev", "--port", "0", "--folder", str(folder)]
    answer = CliRunner().invoke(cli, arguments, env={"AFTERTONE_PROT": "8000"})

    assert answer.exit_code == 1
    assert answer.output == (
        "Error: Unknown settings: AFTERTONE_PROT. See `aftertone settings reference`.\n"
    )
    assert not folder.exists()
