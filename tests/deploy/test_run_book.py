"""The run book agrees with the alerts, metrics, settings and commands that it names."""

import re
from pathlib import Path
from typing import Any

import click

from service.__main__ import cli
from service.settings import PREFIX, Settings
from tests.deploy import metrics_table, monitoring

TEXT = monitoring.RUN_BOOK.read_text()


def matches(pattern: str, flags: int = 0) -> list[Any]:
    """Returns all matches in the run book. Fails if there are none: then the pattern is wrong."""
    result = re.findall(pattern, TEXT, flags)
    assert result, pattern
    return result


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    sections = matches(r"^### (\w+)\n\n\*(Page|Ticket)\.?\*(.+?)(?=^###? |\Z)", re.M | re.S)

    assert [(name, level.lower()) for name, level, _ in sections] == [
        (rule.alert, rule.labels["severity"]) for rule in monitoring.rules()
    ]
    assert all(len(paragraph.split()) > 20 for _, _, paragraph in sections)


def test_the_table_of_metrics_matches_the_definitions() -> None:
    assert metrics_table.in_run_book() == metrics_table.table(), (
        "python -m tests.deploy.metrics_table"
    )


def test_the_named_settings_exist() -> None:
    settings = {PREFIX + name.upper() for name in Settings.__struct_fields__}

    assert set(matches(r"\bAFTERTONE_[A-Z0-9_]*[A-Z0-9]\b")) <= settings


def test_the_named_commands_exist() -> None:
    for words in set(matches(r"(?:^ *|`)aftertone ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)", re.M)):
        command: click.Command = cli
        for word in words.split():
            if isinstance(command, click.Group):
                assert word in command.commands, words
                command = command.commands[word]


def test_its_links_are_valid() -> None:
    for target in matches(r"\]\(([^)\s]+)\)"):
        path, _, heading = target.partition("#")
        file = monitoring.DEPLOY / path if path else monitoring.RUN_BOOK
        assert file.exists(), target
        assert not heading or heading in _headings_of(file), target


def _headings_of(file: Path) -> set[str]:
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    }
