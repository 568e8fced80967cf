"""Mail sink of `aftertone dev`, and the commands for mails and deliveries."""

import asyncio
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner

from service.__main__ import cli
from service.cli import deliveries as commands
from service.embedded.smtp import MailSink
from service.settings import read_settings
from service.workers.channels import Done
from service.workers.channels.email import SmtpSender, SmtpServer
from tests.support.forked import run_command
from tests.support.running import RunningService


async def test_the_sink_stores_each_mail_in_a_private_file(
    tmp_path: Path,
) -> None:
    content = b"Subject: =?utf-8?q?J=C3=B6?=\r\n\r\n.dot\r\n\x80\r\n" + b"some text\r\n" * 90_000
    async with (
        MailSink.open(tmp_path) as sink,
        SmtpSender.open(SmtpServer.parse(sink.url), timeout_s=30) as sender,
    ):
        for _ in range(3):
            assert await sender.send("a@b.c", "d@e.f", content, utf8=False) == Done()
    kept = files_in(tmp_path)
    assert [file.suffix for file in kept] == [".eml"] * 3
    assert {file.read_bytes() for file in kept} == {content}
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def aftertone(service: RunningService, *arguments: str, **more: str) -> tuple[int, str, str]:
    environment = {**service.environment, "AFTERTONE_LOG_LEVEL": "warning", **more}
    finished = await run_command(environment, *arguments)
    return finished.code, finished.stdout, finished.stderr


async def test_the_preview_uses_the_configured_templates(
    service: RunningService, tmp_path: Path
) -> None:
    own = {"AFTERTONE_EMAIL_TEMPLATES_FOLDER": str(tmp_path)}
    (tmp_path / "full.html").write_text("<p>{{ mailbox }} overflows</p>")
    page = await aftertone(service, "email", "preview", "full", "--format", "html", **own)
    assert page == (0, "<p>100 overflows</p>", "")
    (tmp_path / "full.html").write_text("{{ mailbx }}")
    broken, channel = await asyncio.gather(
        aftertone(service, "email", "preview", "full", **own),
        aftertone(
            service,
            "notifier",
            "email",
            AFTERTONE_SMTP_URL="smtp://127.0.0.1:9",
            AFTERTONE_EMAIL_SENDER="us@example.com",
            **own,
        ),
    )
    for code, printed, said in (broken, channel):
        assert (code, printed) == (1, "")
        assert said.count("\n") == 1
        assert "The template full.html is invalid: 'mailbx' is undefined" in said


async def test_the_commands_list_show_retry_and_drop_deliveries(
    service: RunningService,
) -> None:
    account_id, event_id = uuid4(), uuid4()
    connection = await asyncpg.connect(service.environment["AFTERTONE_OWNER_DATABASE_URL"])
    for target in ("a@example.com", "b@example.com"):
        await connection.execute(
            "INSERT INTO deliveries (account_id, event_id, channel, target, status, last_error,"
            " finished_at) VALUES ($1, $2, 'test', $3, 'dead', 'no luck', now())",
            account_id,
            event_id,
            target,
        )
    settings = read_settings(
        {
            name: value
            for name, value in service.environment.items()
            if name.startswith("AFTERTONE_")
        }
    )
    filters = {"account_id": account_id, "channel": "test"}
    heading, *lines = (
        await commands.list_deliveries(settings, filters, 10, as_json=False)
    ).splitlines()
    assert heading.split()[:5] == ["CREATED", "ACCOUNT", "EVENT", "CHANNEL", "TARGET"]
    for line, target in zip(sorted(lines), ("a@example.com", "b@example.com"), strict=True):
        for fact in (account_id.hex, str(event_id), "test", target, "dead", "no luck"):
            assert fact in line
    as_json = await commands.list_deliveries(settings, filters, 10, as_json=True)
    actual = [row["target"] for row in msgspec.json.decode(as_json)]
    assert actual == ["b@example.com", "a@example.com"]
    event = {"account_id": account_id, "event_id": event_id}
    assert (await commands.show_deliveries(settings, event, as_json=False)).count("no luck") == 2
    first = {**filters, "target": "a@example.com"}
    assert await commands.drop_deliveries(settings, first) == "1 deliveries dropped"
    assert await commands.retry_deliveries(settings, filters) == "1 deliveries will be retried"
    statuses = await connection.fetch(
        "SELECT status FROM deliveries WHERE account_id = $1 ORDER BY target", account_id
    )
    assert [row["status"] for row in statuses] == ["dropped", "pending"]
    await connection.execute("DELETE FROM deliveries WHERE account_id = $1", account_id)
    await connection.close()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["deliveries", "drop"], "all of them with --all."),
        (["deliveries", "retry"], "all of them with --all."),
        (["deliveries", "list", "--status", "lost"], "'lost' is not one of"),
        (["notifier"], "Missing argument"),
        (["notifier", "email", "pigeon"], "Unknown channel pigeon"),
    ],
)
def test_invalid_command_lines_are_refused(arguments: list[str], complaint: str) -> None:
    answer = CliRunner().invoke(cli, arguments)
    assert answer.exit_code == 2
    assert complaint in answer.output
