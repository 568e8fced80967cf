"""Hostile text in every header of a mail, read from the bytes that the SMTP server received."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from service.domain.message import CallerId
from service.workers.channels import Done
from service.workers.channels.email import SmtpSender, SmtpServer
from service.workers.channels.email.mime import Attachment, Mail, build_mail
from service.workers.channels.email.templates import RenderedMail
from tests.support.email_harness import EmailHarness, somebody
from tests.support.raw_mail import RawPart, decoded, parts_of, split_mail
from tests.support.smtp import running_mail_server

EVE = "=?utf-8?q?Eve=0D=0ABcc=3A_e=40x.y?="
HOSTILE = {
    "encoded word": EVE,
    "encoded word in base64": "=?utf-8?b?RXZlDQpCY2M6IGVAeC55?=",
    "encoded words": f"{EVE} {EVE}",
    "broken encoded word": "=?utf-8?q?Eve=0D=0ABcc",
    "encoded word in quotes": f'"{EVE}" <e@x.y>',
    "line ends": "Eve\r\nBcc: e@x.y\r\n\r\nbody",
    "single line ends": "Eve\nBcc: e@x.y\rBcc: e@x.y",
    "folded": "Eve\r\n Bcc: e@x.y\n\tBcc: e@x.y",
    "other line ends": "Eve\x0bBcc: e@x.y\x0cBcc: e@x.y\x85Bcc: e@x.y\u2028Bcc: e@x.y",
    "nul": "Eve\0Bcc: e@x.y",
    "bidi": "Eve \u202egpj.exe\u2066",
    "surrogates": "Eve \ud800\udfff\udc0d\udc0aBcc: e@x.y",
    "syntax": "Eve\", <e@x.y>, \"\\ ; x=(y); filename*=utf-8''..%2f",
    "long word": "x" * 10_000,
    "long text": "\u00e9 \U0001f600, ;" * 2_500,
    "blank": " \t ",
}
SLOTS = ["subject", "from", "reply-to", "sender", "attachment name", "attachment type", "all"]
TOP = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "auto-submitted",
    "x-auto-response-suppress",
    "mime-version",
    "content-type",
]
PART = {"content-type", "content-transfer-encoding", "content-disposition", "mime-version"}


@pytest.mark.parametrize("slot", SLOTS)
async def test_hostile_text_stays_in_its_header(slot: str) -> None:
    async with (
        running_mail_server() as server,
        SmtpSender.open(SmtpServer.parse(server.url), timeout_s=10) as smtp,
    ):
        for text in HOSTILE.values():
            mail = hostile_mail(slot, text)
            assert await smtp.send(mail.sender, mail.recipient, mail.content, utf8=False) == Done()
        received = [split_mail(mail.content) for mail in server.mails]
    assert len(received) == len(HOSTILE)
    for name, parsed in zip(HOSTILE, received, strict=True):
        replies = [name for name in parsed.names if name == "reply-to" and slot == "reply-to"]
        assert len(replies) <= 1
        assert sorted(parsed.names) == sorted(TOP + replies), name
        assert parsed["To"] == "ann@example.com"
        assert parsed["From"].rpartition(" ")[2].strip("<>") == "us@example.com", name
        check_decoded(parsed)
        check_parts(parsed)


def hostile_mail(slot: str, text: str) -> Mail:
    def value(name: str, usual: str) -> str:
        return text if slot in (name, "all") else usual

    display = quoted(text if slot == "reply-to" else value("from", "Us"))
    operator = quoted(value("sender", "Us"))
    return build_mail(
        sender=f"{operator} <us@example.com>",
        from_domains=set() if slot == "reply-to" else {"example.com"},
        from_header=f"{display} <us@example.com>",
        recipient="ann@example.com",
        message_id=uuid4().hex,
        date=datetime(2026, 3, 3, tzinfo=UTC),
        rendered=RenderedMail(subject=value("subject", "Hello"), text="Hello", html="<p>Hello"),
        attachment=Attachment(
            content=b"ID3",
            content_type=value("attachment type", "audio/mpeg"),
            name=value("attachment name", "a.mp3"),
        ),
    )


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def check_decoded(mail: RawPart) -> None:
    """The encoded words of the service hold the text, in which no encoded word is decoded."""
    for name in {"Subject", "From", "Reply-To"}.intersection(dict(mail.fields)):
        assert decoded(mail[name]).isprintable()
        assert len(decoded(mail[name])) < 300


def check_parts(mail: RawPart) -> None:
    parts = parts_of(mail)
    assert len(parts) == 3
    assert all(set(part.names) <= PART for part in parts)
    disposition = parts[-1]["Content-Disposition"]
    kind, _, name = disposition.partition("; filename=")
    assert kind == "attachment"
    assert 1 <= len(name.strip('"')) <= 100
    assert set(name.strip('"')) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+._-"
    )


@pytest.mark.parametrize("name", ["encoded word", "encoded word in base64", "syntax", "bidi"])
async def test_the_subject_shows_the_name_of_a_hostile_caller_literally(
    email_harness: EmailHarness, name: str
) -> None:
    who = somebody()
    box = await email_harness.a_box(name=EVE, notify_email_addresses=[who])
    await email_harness.leave(box, caller=CallerId("1", HOSTILE[name]))
    mail = split_mail((await email_harness.only_mail(box, who)).content)
    assert sorted(mail.names) == sorted(TOP)
    output = HOSTILE[name].replace("\u202e", "").replace("\u2066", "")
    assert decoded(mail["Subject"]) == f"New voicemail from {output} (1)"


async def test_an_account_cannot_add_headers(email_harness: EmailHarness) -> None:
    who = somebody()
    account_id = await email_harness.an_account(
        name=EVE,
        notify_email={"from": f'"{EVE}" <eve@example.com>', "subject": f"{EVE} {{caller_name}}"},
    )
    box = await email_harness.a_box(account_id, notify_email_addresses=[who])
    await email_harness.leave(box, caller=CallerId("1", EVE))
    mail = split_mail((await email_harness.only_mail(box, who)).content)
    assert sorted(mail.names) == sorted([*TOP, "reply-to"])
    assert decoded(mail["Subject"]) == f"{EVE} {EVE}"
    assert mail["From"] == "Voicemail <voicemail@service.example>"
    assert decoded(mail["Reply-To"]) == f"{EVE} <eve@example.com>"
