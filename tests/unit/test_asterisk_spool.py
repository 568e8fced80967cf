"""A spool of Asterisk as the source of an import: all messages, and everything else by name."""

import os
from pathlib import Path

import pytest

from service.transfer.asterisk import spool as files
from service.transfer.asterisk.source import AsteriskSource
from service.transfer.source import SourceError, SourceFailed, SourceMessage
from tests.support.asterisk_spool import REALM, GeneratedSpool, generate_spool, renumber
from tests.support.source_content import read_audio, read_source


def _open(spool: GeneratedSpool) -> AsteriskSource:
    return AsteriskSource(spool.root, spool.conf, REALM)


@pytest.fixture
def spool(tmp_path: Path) -> GeneratedSpool:
    return generate_spool(tmp_path, 100)


async def test_a_spool_yields_every_record_and_names_the_rest(spool: GeneratedSpool) -> None:
    source = _open(spool)

    content = await read_source(source)

    assert content.realms == [f"default.{REALM}", f"sales.{REALM}"]
    assert sorted(content.documents) == [
        *(f"default.{REALM}/{number}" for number in (100, 101, 102, 103, 900)),
        *(f"sales.{REALM}/{number}" for number in (100, 200)),
    ]
    assert content.greetings == spool.greetings
    assert content.messages == spool.messages
    assert len(set(content.keys)) == len(spool.messages)
    assert set(content.skipped) == spool.skipped
    assert {reason.partition(" as ")[0] for reason in content.skipped.values()} == {
        "a symbolic link",
        "a symbolic link that does not lead to a folder of the spool",
        "a text file without audio",
        "audio without a text file",
        "not a file of a message",
        "not a folder of Asterisk",
        "not a greeting",
        "recordings in progress",
        "an introduction without its message",
        "the audio is empty",
        "the message is still being recorded; run the import again",
        "the same message",
        "the text file has no time (origtime)",
    }
    count = await source.count_messages()
    assert count is not None
    assert count >= len(spool.messages)


async def test_the_key_of_a_message_survives_a_move_and_a_new_number(
    spool: GeneratedSpool,
) -> None:
    before = await read_source(_open(spool))
    renumber(spool)

    assert set((await read_source(_open(spool))).keys) == set(before.keys)


async def test_a_message_that_changes_while_it_is_read_is_not_imported(
    spool: GeneratedSpool,
) -> None:
    source = _open(spool)
    messages = [each async for each in source.messages() if isinstance(each, SourceMessage)]
    inbox = spool.root / "sales" / "100" / "INBOX"
    # Asterisk renames the files of a message one after the other.
    for extension in ("wav", "WAV", "gsm", "ulaw", "alaw", "sln", "g729"):
        for path in sorted(inbox.glob(f"msg0000.{extension}")):
            path.rename(inbox / f"moved.{extension}")
    first = next(each for each in messages if each.box_key == "sales/100")

    with pytest.raises(SourceError, match="run the import again"):
        await read_audio(first.open)

    other = next(each for each in messages if each.box_key == "sales/200")
    text = next((spool.root / "sales" / "200" / "INBOX").glob("msg0000.txt"))
    os.utime(text, (1, 1))
    with pytest.raises(SourceError, match="run the import again"):
        await read_audio(other.open)


async def test_a_spool_that_does_not_exist_is_an_error_and_one_without_a_configuration_is_not(
    spool: GeneratedSpool, tmp_path: Path
) -> None:
    with pytest.raises(SourceFailed, match="check the path"):
        AsteriskSource(tmp_path / "missing", None, REALM)
    with pytest.raises(SourceFailed, match="check the path"):
        AsteriskSource(spool.root, tmp_path / "missing.conf", REALM)

    source = AsteriskSource(spool.root, None, REALM)
    content = await read_source(source)
    assert [each.audio for each in content.messages] == [each.audio for each in spool.messages]


def test_a_file_is_never_opened_outside_the_spool(spool: GeneratedSpool) -> None:
    outside = files.SpoolFile(("default", "..", "..", "etc", "voicemail.conf"), 0, 1, 0)
    linked = files.SpoolFile(("outside", "voicemail.conf"), 0, 1, 0)

    for file in (outside, linked):
        with pytest.raises(SourceError):
            files.read_text(spool.root, file, 100)


async def test_a_forwarded_message_has_its_introduction(spool: GeneratedSpool) -> None:
    inbox = spool.root / "sales" / "100" / "INBOX"
    (inbox / "msg0000intro.WAV").write_bytes(b"")
    (inbox / "msg0000intro.ulaw").write_bytes(b"\xff" * 80)
    (inbox / "msg0001intro.wav").write_bytes(b"")

    messages = [each async for each in _open(spool).messages() if isinstance(each, SourceMessage)]
    forwarded = [each for each in messages if each.introduction is not None]

    assert [each.name for each in forwarded] == ["sales/100/INBOX/msg0000"]
    assert forwarded[0].introduction is not None
    assert (await read_audio(forwarded[0].introduction)).endswith(b"\xff" * 80)
    assert forwarded[0].introduction_filename == "msg0000intro.wav"
