"""Databases of FusionPBX and FreeSWITCH as the source of an import, in SQLite and Postgres."""

import base64
import sqlite3
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from service.transfer.freeswitch import audio
from service.transfer.freeswitch.freeswitch_source import FreeSwitchSource
from service.transfer.freeswitch.fusionpbx_source import FusionPbxSource
from service.transfer.freeswitch.postgres import PostgresDatabase
from service.transfer.freeswitch.tables import Tables
from service.transfer.source import OpenAudio, Source, SourceError, SourceFailed
from tests.support.database import TestDatabase
from tests.support.source_content import SourceContent, read_audio, read_source
from tests.support.switch_databases import (
    GeneratedSwitch,
    generate_freeswitch,
    generate_fusionpbx,
    write_postgres,
    write_sqlite,
)

GENERATORS = {"fusionpbx": generate_fusionpbx, "freeswitch": generate_freeswitch}
SOURCES: dict[str, Callable[[Tables, audio.StorageFolder], Source]] = {
    "fusionpbx": FusionPbxSource,
    "freeswitch": FreeSwitchSource,
}


async def _read(product: str, address: Path | str, folder: Path | None) -> SourceContent:
    source = SOURCES[product](Tables(str(address)), audio.StorageFolder(folder))
    try:
        content = await read_source(source)
        assert await source.count_messages() == len(content.messages) + sum(
            "/msg_" in name or "file_path" in reason or "no box" in reason
            for name, reason in content.skipped.items()
        )
        return content
    finally:
        await source.close()


def _check(content: SourceContent, switch: GeneratedSwitch) -> None:
    assert content.realms == ["one.example.org", "two.example.org"]
    assert content.messages == switch.messages
    assert content.greetings == switch.greetings
    assert content.skipped == switch.skipped
    assert len(set(content.keys)) == len(switch.messages)


@pytest.mark.parametrize("product", GENERATORS)
async def test_a_sqlite_database_yields_every_record_and_names_the_rest(
    product: str, tmp_path: Path
) -> None:
    switch = GENERATORS[product](tmp_path, 48)
    write_sqlite(switch, tmp_path / "switch.db")

    _check(await _read(product, tmp_path / "switch.db", switch.folder), switch)


@pytest.mark.parametrize("product", GENERATORS)
async def test_a_postgres_database_yields_every_record_and_is_not_changed(
    product: str, tmp_path: Path, test_database: TestDatabase
) -> None:
    switch = GENERATORS[product](tmp_path, 48)
    connection = await asyncpg.connect(test_database.owner_url)
    try:
        await write_postgres(switch, connection)
    finally:
        await connection.close()

    _check(await _read(product, test_database.owner_url, switch.folder), switch)
    database = await PostgresDatabase.connect(test_database.owner_url)
    with pytest.raises(SourceFailed, match="read-only"):
        await database.fetch("CREATE TABLE written (id int)")
    await database.close()


async def test_an_old_release_lacks_columns_and_a_name_may_have_an_old_charset(
    tmp_path: Path,
) -> None:
    switch = generate_fusionpbx(tmp_path, 12)
    path = tmp_path / "fusionpbx.db"
    write_sqlite(switch, path)
    with sqlite3.connect(path) as database:
        for table, column in (
            ("v_voicemails", "voicemail_name_base64"),
            ("v_voicemail_messages", "message_base64"),
            ("v_voicemail_messages", "message_transcription"),
        ):
            database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute("DROP TABLE v_voicemail_options")
        database.execute("UPDATE v_voicemail_messages SET caller_id_name = CAST(x'5a6feb' AS text)")
    database.close()

    content = await _read("fusionpbx", path, switch.folder)

    assert {message.name for message in content.messages} == {"Zoë"}
    start = min(each.received_at for each in switch.messages)
    in_files = [each for each in switch.messages if (each.received_at - start) // 600 % 4 >= 2]
    assert [each.audio for each in content.messages] == [each.audio for each in in_files]


async def test_a_box_of_fusionpbx_keeps_its_settings(tmp_path: Path) -> None:
    switch = generate_fusionpbx(tmp_path, 0)
    write_sqlite(switch, tmp_path / "fusionpbx.db")

    content = await _read("fusionpbx", tmp_path / "fusionpbx.db", switch.folder)

    assert content.documents["one.example.org/100"] == {
        "name": "Front desk",
        "mailbox": "100",
        "pin": "1234",
        "notify_email_addresses": ["ann@example.org", "bell@example.org"],
        "include_message_on_notify": True,
        "delete_after_notify": False,
        "transcribe": False,
        "is_setup": True,
        "fusionpbx": {
            "voicemail_enabled": "true",
            "options": [{"voicemail_option_digits": "1"}],
            "copies_to": ["101"],
        },
    }
    other = content.documents["one.example.org/101"]
    assert (other["name"], other["delete_after_notify"]) == ("101", True)
    assert other["include_message_on_notify"] is False


async def test_what_is_not_a_database_of_voicemail_is_an_error(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "text.db").write_text("not a database" * 100)

    for name, reason in (
        ("empty.db", "no table v_voicemails; is it that of FusionPBX"),
        ("text.db", "check the file"),
        ("missing.db", "check the path"),
    ):
        with pytest.raises(SourceFailed, match=reason):
            await _read("fusionpbx", tmp_path / name, None)
    assert not (tmp_path / "missing.db").exists()
    with pytest.raises(SourceFailed, match="check its address"):
        await _read("freeswitch", "postgresql://nobody@127.0.0.1:1/nothing", None)


@pytest.mark.parametrize("part_characters", [1, 3, 4, 5, 1000])
async def test_base64_is_decoded_in_parts(
    part_characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "PART_CHARACTERS", part_characters)

    def opener(text: str) -> OpenAudio:
        async def read(position: int, length: int) -> str:
            return text[position : position + length]

        return audio.base64_opener(read)

    for text in ("", "UklGRg==", "UklG\nRiQ\nAAA==\n", "UklGRg"):
        expected = base64.b64decode(text + "==")
        assert await read_audio(opener(text)) == expected
    with pytest.raises(SourceError, match="not base64"):
        await read_audio(opener("no audio!"))
