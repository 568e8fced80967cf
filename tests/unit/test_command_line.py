"""Arguments that cannot be meant: a sentence each, before anything is opened."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from service.__main__ import cli


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dev", "--port", "99999"], "--port"),
        (["deliveries", "list", "--limit", "-3"], "--limit"),
        (["token", "issue", "root", "--hours", "0"], "--hours"),
        (["token", "issue", "root", "--hours", "99999999"], "--hours"),
    ],
)
def test_a_number_out_of_range_is_refused_by_the_name_of_its_option(
    arguments: list[str], told: str
) -> None:
    answer = CliRunner().invoke(cli, arguments)

    assert answer.exit_code == 2
    assert f"Invalid value for '{told}'" in answer.output


def test_a_key_ring_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "keys.json"
    answer = CliRunner().invoke(cli, ["keys", "generate", str(missing)])

    assert answer.exit_code == 1
    assert answer.output == f"Error: {missing} cannot be written: No such file or directory.\n"


def test_dev_starts_nothing_where_its_processes_would_refuse_a_setting(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    arguments = ["dev", "--port", "0", "--folder", str(folder)]
    answer = CliRunner().invoke(cli, arguments, env={"AFTERTONE_PROT": "8000"})

    assert answer.exit_code == 1
    assert answer.output == (
        "Error: Unknown settings: AFTERTONE_PROT. See `aftertone settings reference`.\n"
    )
    assert not folder.exists()
