"""Formats of Asterisk: configuration files, mailboxes, message files, caller ids, raw audio."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.transfer.asterisk.audio import RAW_FORMATS, best_first
from service.transfer.asterisk.conf import read_conf, without_comments
from service.transfer.asterisk.mailboxes import Defaults, document_of, mailboxes_of
from service.transfer.asterisk.message_file import Incomplete, parse_message_file
from service.transfer.source import SourceFailed
from service.transfer.text import decode, split_caller_id

_CONF = r"""
; Voicemail
[general]
format = wav49|wav
attach=no
maxmsg=100
aliasescontext=aliases
#include "more/*.conf"
#exec /bin/true
#include missing.conf
#tryinclude absent.conf
#include ../outside.conf

[zonemessages]
central = America/Chicago|'vm-received' Q 'digits/at' IMp

[sales](!) ;-- a template
100 => 1, in a comment --;
101 => 4321,Copied

[default]
;-- 999 => 1
   ;-- nested --;
--;
100 => -1234,Ann\; Bell,a@b.org|b@b.org,p@b.org,tz=central|attach=yes|x=1,2|imapsecret=s
200 =>
300 => 300,New User,,,delete=1|maxmsg=0|envelope=no
directoryintro=dir-intro
not a line

[other](sales)
102=5678

[aliases]
100@devices => 100@default
6100@devices => 100@default

[unused]
7100@devices => 100@default
"""


def _conf(folder: Path) -> Path:
    path = folder / "asterisk" / "voicemail.conf"
    (path.parent / "more").mkdir(parents=True)
    (folder / "outside.conf").write_text("[default]\n666 => 1111\n")
    (path.parent / "more" / "extra.conf").write_bytes("[default]\n400 => 1,Zoë\n".encode("latin-1"))
    path.write_text(_CONF)
    return path


def test_a_configuration_has_includes_templates_comments_and_names_what_it_skips(
    tmp_path: Path,
) -> None:
    conf = read_conf(_conf(tmp_path))

    boxes = [f"{box.number}@{box.context} {box.name}" for box in mailboxes_of(conf)]
    assert boxes == [
        "400@default Zoë",
        "100@default Ann; Bell",
        "200@default ",
        "300@default New User",
        "101@other Copied",
        "102@other ",
    ]
    assert [skipped.name for skipped in conf.skipped] == [
        "voicemail.conf:9",
        "voicemail.conf:10",
        "voicemail.conf:12",
        "voicemail.conf:29",
    ]


def test_a_configuration_that_includes_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("[default]\n1 => 2\n#include a.conf\n")

    conf = read_conf(tmp_path / "a.conf")

    assert "too many" in conf.skipped[-1].reason
    with pytest.raises(SourceFailed, match="check the path"):
        read_conf(tmp_path / "b.conf")


def test_a_mailbox_becomes_the_document_of_a_box(tmp_path: Path) -> None:
    conf = read_conf(_conf(tmp_path))
    defaults = Defaults(conf)

    documents = {box.number: document_of(box, defaults) for box in mailboxes_of(conf)}

    assert documents["100"] == {
        "name": "Ann; Bell",
        "mailbox": "100",
        "aliases": ["6100"],
        "pin": "1234",
        "notify_email_addresses": ["a@b.org", "b@b.org"],
        "include_message_on_notify": True,
        "delete_after_notify": False,
        "skip_envelope": False,
        "is_setup": True,
        "timezone": "America/Chicago",
        "max_message_count": 200,
        "asterisk": {
            "context": "default",
            "pager": "p@b.org",
            "options": {"tz": "central", "attach": "yes", "x": "1,2"},
        },
    }
    assert documents["300"] == {
        "name": "New User",
        "mailbox": "300",
        "aliases": [],
        "notify_email_addresses": [],
        "include_message_on_notify": False,
        "delete_after_notify": True,
        "skip_envelope": True,
        "is_setup": False,
        "announcement_only": True,
        "asterisk": {
            "context": "default",
            "options": {"delete": "1", "maxmsg": "0", "envelope": "no"},
        },
    }
    assert documents["200"]["name"] == "200"


@pytest.mark.parametrize(
    ("line", "depth", "kept"),
    [
        ("a ; b", 0, ("a ", 0)),
        (r"a \; b", 0, ("a ; b", 0)),
        ("a ;-- b", 0, ("a ", 1)),
        ("b --; c", 1, (" c", 0)),
        ("a ;-- b --; c", 0, ("a  c", 0)),
        ("a --; b", 0, ("a --", 0)),
        (";--- rule", 0, ("", 0)),
        (r"\; b", 1, ("", 1)),
    ],
)
def test_comments_end_or_continue(line: str, depth: int, kept: tuple[str, int]) -> None:
    assert without_comments(line, depth) == kept


@pytest.mark.parametrize(
    ("text", "number", "name"),
    [
        ('"Ann Bell" <+4930123>', "+4930123", "Ann Bell"),
        ("Ann <100>", "100", "Ann"),
        (r'"A \"B\" C" <1>', "1", 'A "B" C'),
        ('"a <b> c" <200>', "200", "a <b> c"),
        ('"" <100>', "100", ""),
        ("100", "100", ""),
        ("Unknown", "", ""),
        ('"Unknown" <Unknown>', "", ""),
        ("Reception", "", "Reception"),
        ("", "", ""),
        ("<>", "", ""),
    ],
)
def test_a_caller_id_is_split(text: str, number: str, name: str) -> None:
    assert split_caller_id(text) == (number, name)


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        ("Zoë".encode(), "latin-1", "Zoë"),
        ("Zoë".encode("latin-1"), "UTF-8", "Zoë"),
        ("Анна".encode("koi8-r"), "koi8-r", "Анна"),
        ("Zoë".encode("latin-1"), "no such charset", "Zoë"),
    ],
)
def test_text_is_decoded_from_its_charset(content: bytes, charset: str, text: str) -> None:
    assert decode(content, charset) == text


_MESSAGE = b"""\
;
; Message Information file
;
[message]
origmailbox=100
context=macro-vm
exten=s-NOANSWER
callerchan=PJSIP/trunk-00000001
callerid="M\xfcller; Sohn" <030 123>
origdate=Tue Dec  1 04:00:00 AM UTC 2026
origtime=1796097600
category=
msg_id=1796097600-00000007
flag=Urgent
duration=12
"""


def test_a_message_file_has_time_length_and_caller() -> None:
    message = parse_message_file(_MESSAGE, "latin-1", 99)

    assert message.received_at == datetime(2026, 12, 1, 4, tzinfo=UTC)
    assert message.duration_s == 12
    assert (message.caller_id_number, message.caller_id_name) == ("030 123", "Müller; Sohn")
    with pytest.raises(Incomplete, match="origtime"):
        parse_message_file(b"[message]\nduration=1\n", "latin-1", 99)


def test_a_message_is_the_same_when_only_its_number_folder_or_format_changes() -> None:
    moved = _MESSAGE.replace(b"flag=Urgent\n", b"").replace(b"s-NOANSWER", b"100")
    other = _MESSAGE.replace(b"1796097600-00000007", b"1796097600-00000008")
    old = _MESSAGE.replace(b"msg_id=1796097600-00000007\n", b"")

    def digest(content: bytes, size: int = 99) -> str:
        return parse_message_file(content, "latin-1", size).digest

    assert digest(_MESSAGE) == digest(moved, 100)
    assert len({digest(_MESSAGE), digest(other), digest(old), digest(old, 100)}) == 4


def test_the_best_format_is_first_and_raw_audio_gets_a_header() -> None:
    assert best_first(["gsm", "WAV", "g729", "ulaw", "wav"]) == [
        "wav",
        "ulaw",
        "WAV",
        "gsm",
        "g729",
    ]
    header = RAW_FORMATS["ulaw"].wav_header(8001)

    assert len(header) == 44
    assert int.from_bytes(header[4:8], "little") == 36 + 8002
    assert int.from_bytes(header[-4:], "little") == 8001
