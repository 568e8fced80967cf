"""Mails: templates, subjects, file names, recipients, addresses."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.formats import is_address, is_sender
from service.domain.message import CallerId, Folder
from service.usecases.mail_recipients import (
    MailContext,
    Owner,
    full_box_recipients,
    message_recipients,
)
from service.workers.channels.email import (
    InvalidAddress,
    Mail,
    MailKind,
    Templates,
    TemplatesError,
    preview,
)
from service.workers.channels.email.after_notify import folder_after
from service.workers.channels.email.headers import to_single_line
from service.workers.channels.email.mime import address_of, build_mail, file_name
from service.workers.channels.email.templates import RenderedMail

WHEN = datetime(2026, 3, 3, 14, 5, 9, tzinfo=UTC)
US = "Voicemail <us@example.com>"


def context(listed: list[str], owner: str | None = None, receives_mail: bool = True) -> MailContext:
    return MailContext(
        settings={"notify_email_addresses": listed},
        owner=Owner(email=owner, receives_mail=receives_mail, timezone=None) if owner else None,
        account={},
    )


@pytest.mark.parametrize(
    ("listed", "owner", "receives_mail", "of_new", "of_full"),
    [
        ([], None, True, [], []),
        (["a@x"], None, True, ["a@x"], ["a@x"]),
        ([], "o@x", True, ["o@x"], ["o@x"]),
        ([], "o@x", False, [], ["o@x"]),
        (["a@x"], "o@x", True, ["a@x", "o@x"], ["a@x", "o@x"]),
        (["O@X", "a@x"], "o@x", True, ["O@X", "a@x"], ["O@X", "a@x"]),
        (["O@X", "a@x"], "o@x", False, ["a@x"], ["O@X", "a@x"]),
        (["a@x", "A@x", "a@x"], None, True, ["a@x"], ["a@x"]),
    ],
)
def test_recipients_depend_on_the_box_and_its_owner(
    listed: list[str], owner: str | None, receives_mail: bool, of_new: list[str], of_full: list[str]
) -> None:
    mail_context = context(listed, owner, receives_mail)
    assert message_recipients(mail_context) == of_new
    assert full_box_recipients(mail_context) == of_full


def test_saving_takes_precedence_over_deleting() -> None:
    assert folder_after({}) is None
    assert folder_after({"save_after_notify": False, "delete_after_notify": False}) is None
    assert folder_after({"delete_after_notify": True}) is Folder.DELETED
    assert folder_after({"save_after_notify": True}) is Folder.SAVED
    assert folder_after({"save_after_notify": True, "delete_after_notify": True}) is Folder.SAVED


@pytest.mark.parametrize("kind", list(MailKind))
def test_the_preview_is_a_complete_mail(kind: MailKind) -> None:
    rendered, mail = preview(Templates(), kind, US)
    parsed = message_from_bytes(mail.content, policy=default)
    assert isinstance(parsed, EmailMessage)
    assert parsed["Subject"] == rendered.subject
    assert parsed.defects == []
    assert preview(Templates(), kind, US) == (rendered, mail)


def test_a_custom_template_replaces_only_the_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "message.html").write_text("<p>{{ caller_name }}</p>")
    rendered, _ = preview(Templates(tmp_path), MailKind.MESSAGE, US)
    assert rendered.html == "<p>José &lt;Ñ&gt;</p>"
    assert rendered.text == preview(Templates(), MailKind.MESSAGE, US)[0].text


@pytest.mark.parametrize("text", ["{{ callr }}", "{% if %}", "{{ length + 1 }}"])
def test_an_invalid_template_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "message.txt").write_text(text)
    with pytest.raises(TemplatesError, match=r"The template message\.txt is invalid: .+"):
        preview(Templates(tmp_path), MailKind.MESSAGE, US)


def test_the_folder_of_templates_must_exist(tmp_path: Path) -> None:
    with pytest.raises(TemplatesError, match="does not exist"):
        Templates(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("Ann", "1001", "ann"),
        ("José Ñ", "1001", "jose_n"),
        ("../../etc/passwd", "1001", "etc_passwd"),
        (".hidden", "1001", "hidden"),
        ("山田", "+44 20 7946", "+44_20_7946"),
        ("", "+44 20 7946", "+44_20_7946"),
        ("anonymous", "1001", "1001"),
        ("Anonymous ", "1001", "1001"),
        ("unknown", "1001", "1001"),
        ("anonymous", "anonymous", "anonymous"),
        ("山田", "", "message"),
        ("x" * 100, "1001", "x" * 40),
    ],
)
def test_a_file_name_is_valid_on_every_system(name: str, number: str, expected: str) -> None:
    caller = CallerId(number, name)
    assert file_name(caller, WHEN, "mp3") == f"{expected}_2026-03-03_14-05-09.mp3"


def a_mail(**changes: Any) -> Mail:
    rendered = RenderedMail(subject="Hello", text="Hello\n", html="<p>Hello</p>")
    parameters = {
        "sender": US,
        "from_header": None,
        "from_domains": {"ann.example"},
        "recipient": "ann@example.com",
        "message_id": "1",
        "date": WHEN,
        "rendered": rendered,
        "attachment": None,
    }
    return build_mail(**{**parameters, **changes})


def test_the_same_input_gives_the_same_bytes() -> None:
    assert a_mail() == a_mail()


@pytest.mark.parametrize(
    "output", ["nobody", "a@b.c\r\nBcc: x@y.z", "Ann <a,b@c.d>", "", "jösé@example.com"]
)
def test_an_invalid_sender_is_replaced_by_the_default(output: str) -> None:
    lines = a_mail(from_header=output).content.split(b"\r\n")
    assert b"From: Voicemail <us@example.com>" in lines
    assert not any(line.startswith(b"Bcc") for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@",
        "@b",
        "a b@c.d",
        "a,b@c.d",
        "<a>@b.c",
        "a@b\r\nc",
        "a@b@c",
        "a\x07@b.c",
        "=?utf-8?q?a=40b.c=0D=0A?=@d.e",
        "a" * 65 + "@b.c",
        "a@" + "b" * 256,
    ],
)
def test_an_invalid_address_is_rejected(text: str) -> None:
    with pytest.raises(InvalidAddress):
        address_of(text)
    assert not is_address(text)
    assert not is_sender(f"Ann <{text}>")


@pytest.mark.parametrize("text", ["a@x,b@x", "a@x; b@x", "a@x b@x", "Ann <a@x>, b@x", '"a,b"@x'])
def test_a_list_of_addresses_is_no_address(text: str) -> None:
    assert not is_address(text)
    assert not is_sender(text)


@example("=@é")
@example("é@a")
@given(st.text(alphabet="a.@, <>\"'+-_é=?\u202e\x00", max_size=20))
def test_the_api_accepts_the_senders_that_the_mailer_can_use(text: str) -> None:
    from_lines = [
        line
        for line in a_mail(from_header=text, from_domains=["a"]).content.split(b"\r\n")
        if line.startswith((b"From:", b"Reply-To:"))
    ]
    assert is_sender(text) == (from_lines != [b"From: Voicemail <us@example.com>"])


def test_a_non_ascii_domain_is_encoded_in_ascii() -> None:
    assert address_of("ann@bücher.example").addr_spec == "ann@xn--bcher-kva.example"
    assert not a_mail(recipient="ann@bücher.example").utf8
    assert a_mail(recipient="jösé@example.com").utf8


def test_untrusted_text_becomes_one_line_without_control_characters() -> None:
    assert to_single_line("a\r\nb\tc\u202ed\x00\u2028e ") == "a b cd e"
