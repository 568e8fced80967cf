"""The run book and what it speaks of belong together."""

import re

import click

from service.__main__ import cli
from service.settings import PREFIX, Settings
from tests.deploy import metrics_table, watched

TEXT = watched.RUN_BOOK.read_text()


def test_every_alert_has_a_paragraph_and_every_paragraph_an_alert() -> None:
    told = re.findall(r"^### (\w+)\n\n\*(Page|Ticket)\.?\*(.+?)(?=^###? |\Z)", TEXT, re.M | re.S)

    assert [(name, level.lower()) for name, level, _ in told] == [
        (rule.alert, rule.labels["severity"]) for rule in watched.rules()
    ]
    assert all(len(paragraph.split()) > 20 for _, _, paragraph in told)


def test_the_table_of_metrics_is_what_is_defined() -> None:
    assert metrics_table.in_run_book() == metrics_table.table(), (
        "python -m tests.deploy.metrics_table"
    )


def test_the_settings_it_names_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.__struct_fields__}

    assert set(re.findall(r"\bAFTERTONE_[A-Z0-9_]*[A-Z0-9]\b", TEXT)) <= known


def test_the_commands_it_names_exist() -> None:
    named = set(re.findall(r"(?:^|`)aftertone ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)", TEXT, re.M))

    assert named
    for words in named:
        command: click.Command = cli
        for word in words.split():
            if isinstance(command, click.Group):
                assert word in command.commands, words
                command = command.commands[word]


def test_its_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", TEXT, re.M)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        if target.startswith("#"):
            assert target.removeprefix("#") in headings, target
        else:
            assert (watched.DEPLOY / target).exists(), target
