"""Generated databases of FusionPBX and FreeSWITCH, in SQLite or Postgres, with their audio."""

import base64
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.message import Folder
from tests.support.audio_samples import a_wav, an_mp3
from tests.support.source_content import ImportedMessage

# The columns that these releases of FusionPBX and FreeSWITCH have; they have more.
_TABLES = {
    "v_domains": "domain_uuid uuid, domain_name text, domain_description text",
    "v_domain_settings": (
        "domain_uuid uuid, domain_setting_subcategory text, domain_setting_value text"
    ),
    "v_voicemails": (
        "voicemail_uuid uuid, domain_uuid uuid, voicemail_id text, voicemail_password text,"
        " greeting_id numeric, voicemail_mail_to text, voicemail_file text,"
        " voicemail_local_after_email text, voicemail_enabled text, voicemail_description text,"
        " voicemail_transcription_enabled text, voicemail_tutorial text,"
        " voicemail_name_base64 text"
    ),
    "v_voicemail_options": (
        "voicemail_uuid uuid, voicemail_option_digits text, voicemail_option_action text,"
        " voicemail_option_param text, voicemail_option_order numeric,"
        " voicemail_option_description text"
    ),
    "v_voicemail_destinations": "voicemail_uuid uuid, voicemail_uuid_copy uuid",
    "v_voicemail_greetings": (
        "voicemail_greeting_uuid uuid, domain_uuid uuid, voicemail_id text, greeting_id numeric,"
        " greeting_name text, greeting_filename text, greeting_description text,"
        " greeting_base64 text"
    ),
    "v_voicemail_messages": (
        "voicemail_message_uuid uuid, domain_uuid uuid, voicemail_uuid uuid, created_epoch numeric,"
        " read_epoch numeric, caller_id_name text, caller_id_number text, message_length numeric,"
        " message_status text, message_base64 text, message_transcription text"
    ),
    "voicemail_msgs": (
        "created_epoch integer, read_epoch integer, username varchar(255), domain varchar(255),"
        " uuid varchar(255), cid_name varchar(255), cid_number varchar(255),"
        " in_folder varchar(255), file_path varchar(255), message_len integer,"
        " flags varchar(255), read_flags varchar(255)"
    ),
    "voicemail_prefs": (
        "username varchar(255), domain varchar(255), name_path varchar(255),"
        " greeting_path varchar(255), password varchar(255)"
    ),
}
_CALLERS = (("+4930100", "Ann Bell"), ("100", "Zoë 電話"), ("", "Reception"), ("5551234", ""))
REALM = "example.org"
_NUMBERS = ("100", "101", "102")
_STORAGE = "/var/lib/freeswitch/storage/voicemail"
_LONG_AGO_S = 20 * 86_400
NO_AUDIO = "its audio is neither in the database nor in the folder"

Tables = dict[str, list[dict[str, Any]]]


class GeneratedSwitch(msgspec.Struct, frozen=True):
    """Rows of the tables, the folder of the audio, and the result of the import."""

    tables: Tables
    folder: Path
    messages: list[ImportedMessage]
    greetings: dict[str, bytes]
    skipped: dict[str, str]


def generate_fusionpbx(
    folder: Path, count: int, realm: str = REALM, *, is_clean: bool = False
) -> GeneratedSwitch:
    """Generates `count` complete messages in two domains of `realm`, and incomplete rows.

    Clean tables can be imported completely.
    """
    return _FusionPbx(folder, realm, is_clean).generate(count)


def generate_freeswitch(
    folder: Path, count: int, realm: str = REALM, *, is_clean: bool = False
) -> GeneratedSwitch:
    """Generates `count` complete messages in two domains of `realm`, and incomplete rows.

    Clean tables can be imported completely.
    """
    return _FreeSwitch(folder, realm, is_clean).generate(count)


def write_sqlite(switch: GeneratedSwitch, path: Path) -> None:
    """Writes the tables to a file. One name of a caller is in an old charset."""
    with sqlite3.connect(path) as database:
        for table, rows in switch.tables.items():
            database.execute(f"CREATE TABLE {table} ({_TABLES[table]})")
            for names, values in _lines(rows):
                marks = ", ".join("?" for _ in values)
                texts = [str(each) if isinstance(each, UUID) else each for each in values]
                database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", texts)  # noqa: S608
    database.close()


async def write_postgres(switch: GeneratedSwitch, connection: asyncpg.Connection) -> None:
    for table, rows in switch.tables.items():
        await connection.execute(f"CREATE TABLE {table} ({_TABLES[table]})")
        for names, values in _lines(rows):
            marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
            await connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", *values)  # noqa: S608


def _lines(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    for row in rows:
        yield ", ".join(row), list(row.values())


class _Generator:
    def __init__(self, folder: Path, realm: str, is_clean: bool) -> None:
        self.is_clean = is_clean
        self.domains = (f"one.{realm}", f"two.{realm}")
        self.folder = folder / "storage" / "voicemail"
        self.tables: Tables = {}
        self.messages: list[ImportedMessage] = []
        self.greetings: dict[str, bytes] = {}
        self.skipped: dict[str, str] = {}
        self.random = random.Random(1)
        self.start = int(time.time()) - _LONG_AGO_S

    def result(self) -> GeneratedSwitch:
        return GeneratedSwitch(
            self.tables, self.folder, sorted(self.messages), self.greetings, self.skipped
        )

    def uuid(self) -> UUID:
        return UUID(bytes=self.random.randbytes(16), version=4)

    def audio(self) -> bytes:
        return a_wav(self.random.randrange(10, 200) / 1000)

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        self.tables.setdefault(table, []).append(dict(row))

    def write(self, domain: str, number: str, name: str, content: bytes) -> None:
        path = self.folder / "default" / domain / number / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def expect(
        self, index: int, box: str, folder: Folder, length_s: int | None, audio: bytes
    ) -> None:
        number, name = _CALLERS[index % len(_CALLERS)]
        received_at = self.start + index * 600
        self.messages.append(
            ImportedMessage(box, received_at, number, name, folder, length_s, audio)
        )


class _FusionPbx(_Generator):
    def generate(self, count: int) -> GeneratedSwitch:
        domains = {name: self.uuid() for name in self.domains}
        boxes = {(name, number): self.uuid() for name in self.domains for number in _NUMBERS}
        for name, key in domains.items():
            self.add("v_domains", {"domain_uuid": key, "domain_name": name})
            setting = {"domain_uuid": key, "domain_setting_subcategory": "time_zone"}
            self.add("v_domain_settings", {**setting, "domain_setting_value": "Europe/Berlin"})
        for (name, number), key in boxes.items():
            self._add_box(name, domains[name], number, key)
        first = boxes[self.domains[0], "100"]
        self.add(
            "v_voicemail_options",
            {"voicemail_uuid": first, "voicemail_option_digits": "1"},
        )
        copy = {"voicemail_uuid": first, "voicemail_uuid_copy": boxes[self.domains[0], "101"]}
        self.add("v_voicemail_destinations", copy)
        for index in range(count):
            name, number = list(boxes)[index % len(boxes)]
            self._add_message(index, name, number, boxes[name, number])
        if not self.is_clean:
            self._add_incomplete(domains[self.domains[0]], first)
        return self.result()

    def _add_box(self, domain: str, domain_key: UUID, number: str, key: UUID) -> None:
        name = self.audio()
        self.add(
            "v_voicemails",
            {
                "voicemail_uuid": key,
                "domain_uuid": domain_key,
                "voicemail_id": number,
                "voicemail_password": "1234",
                "greeting_id": 2 if number == "100" else None,
                "voicemail_mail_to": "ann@example.org, bell@example.org",
                "voicemail_file": "attach" if number == "100" else "link",
                "voicemail_local_after_email": "true" if number == "100" else "false",
                "voicemail_enabled": "true",
                "voicemail_description": "Front desk" if number == "100" else "",
                "voicemail_name_base64": base64.b64encode(name).decode(),
            },
        )
        self.greetings[f"{domain}/{number} name"] = name
        if number == "100":
            self._add_greetings(domain, domain_key, number)

    def _add_greetings(self, domain: str, domain_key: UUID, number: str) -> None:
        """Adds a greeting that is not in use, and one in the database or in the folder."""
        audio, in_folder = self.audio(), domain == self.domains[0]
        for greeting in (2,) if self.is_clean else (1, 2):
            row = {
                "voicemail_greeting_uuid": self.uuid(),
                "domain_uuid": domain_key,
                "voicemail_id": number,
                "greeting_id": greeting,
                "greeting_name": "Hello",
                "greeting_filename": f"greeting_{greeting}.wav",
                "greeting_base64": None if in_folder else base64.b64encode(audio).decode(),
            }
            self.add("v_voicemail_greetings", row)
        if in_folder:
            self.write(domain, number, "greeting_2.wav", audio)
        self.greetings[f"{domain}/{number} unavailable"] = audio
        if not self.is_clean:
            self.skipped[f"{domain}/{number}/greeting_1"] = "the box does not use this greeting"

    def _add_message(self, index: int, domain: str, number: str, box: UUID) -> None:
        key, length_s = self.uuid(), index % 60 or None
        status, read_epoch, folder = (
            (None, None, Folder.NEW),
            ("saved", None, Folder.SAVED),
            ("", 0, Folder.NEW),
            ("", self.start, Folder.SAVED),
        )[index // 2 % 4]
        caller_number, caller_name = _CALLERS[index % len(_CALLERS)]
        audio, content = self.audio(), None
        match index % 4:
            case 0:
                content = base64.b64encode(audio).decode()
            case 1:
                content = base64.encodebytes(audio).decode()
            case 2:
                self.write(domain, number, f"msg_{key}.wav", audio)
            case _:
                audio = an_mp3()
                self.write(domain, number, f"msg_{key}.mp3", audio)
        row = {
            "voicemail_message_uuid": key,
            "voicemail_uuid": box,
            "created_epoch": self.start + index * 600,
            "read_epoch": read_epoch,
            "caller_id_name": caller_name,
            "caller_id_number": caller_number,
            "message_length": length_s,
            "message_status": status,
            "message_base64": content,
            "message_transcription": "please call back" if index % 5 == 0 else None,
        }
        self.add("v_voicemail_messages", row)
        self.expect(index, f"{domain}/{number}", folder, length_s, audio)

    def _add_incomplete(self, domain_key: UUID, box: UUID) -> None:
        """Adds messages without audio, time or box, and an introduction that is not audio."""
        for row in self.tables.get("v_voicemail_messages", [])[:1]:
            name = f"intro_{row['voicemail_message_uuid']}"
            self.write(self.domains[0], "100", f"{name}.wav", b"no audio")
        place = f"{self.domains[0]}/100/msg_"
        for changes, name, reason in (
            ({"message_base64": ""}, place, NO_AUDIO),
            ({"created_epoch": None}, place, "the message has no time (created_epoch)"),
            ({"voicemail_uuid": self.uuid()}, "message ", "it has no box"),
        ):
            key = self.uuid()
            row = {
                "voicemail_message_uuid": key,
                "voicemail_uuid": box,
                "domain_uuid": domain_key,
                "created_epoch": self.start,
                "message_base64": "UklGRg==",
            }
            self.add("v_voicemail_messages", {**row, **changes})
            self.skipped[f"{name}{key}"] = reason


class _FreeSwitch(_Generator):
    def generate(self, count: int) -> GeneratedSwitch:
        for index in range(count):
            domain = self.domains[index % 2]
            self._add_message(index, domain, _NUMBERS[index // 2 % 3])
        self._add_preferences()
        if not self.is_clean:
            self._add_incomplete()
        return self.result()

    def _add_incomplete(self) -> None:
        """Adds messages whose files are missing or outside the folder."""
        for path in ("/etc/hostname", f"{_STORAGE}/default/../../../secret.wav", ""):
            key = str(self.uuid())
            row = {"username": "100", "domain": self.domains[0], "uuid": key, "file_path": path}
            self.add("voicemail_msgs", {**row, "created_epoch": self.start})
            self.skipped[f"100@{self.domains[0]}/{key}"] = "file_path: no such file in the folder"
        (self.folder.parent.parent / "secret.wav").write_bytes(self.audio())

    def _add_message(self, index: int, domain: str, number: str) -> None:
        key, audio, length_s = str(self.uuid()), self.audio(), index % 60 or None
        read_epoch, flags, folder = (
            (0, "", Folder.NEW),
            (self.start, "save", Folder.SAVED),
            (self.start, "delete", Folder.DELETED),
        )[index // 6 % 3]
        caller_number, caller_name = _CALLERS[index % len(_CALLERS)]
        self.write(domain, number, f"msg_{key}.wav", audio)
        row = {
            "created_epoch": self.start + index * 600,
            "read_epoch": read_epoch,
            "username": number,
            "domain": domain,
            "uuid": key,
            "cid_name": caller_name,
            "cid_number": caller_number,
            "in_folder": "inbox",
            "file_path": f"{_STORAGE}/default/{domain}/{number}/msg_{key}.wav",
            "message_len": length_s or 0,
            "flags": flags,
            "read_flags": "A_URGENT" if index % 7 == 0 else "B_NORMAL",
        }
        self.add("voicemail_msgs", row)
        self.expect(index, f"{domain}/{number}", folder, length_s, audio)

    def _add_preferences(self) -> None:
        domain, number = self.domains[0], "200"
        greeting = self.audio()
        self.write(domain, number, "greeting_1.wav", greeting)
        row = {
            "username": number,
            "domain": domain,
            "password": "4321",
            "greeting_path": f"{_STORAGE}/default/{domain}/{number}/greeting_1.wav",
        }
        if not self.is_clean:
            row["name_path"] = f"{_STORAGE}/default/{domain}/{number}/recorded_name.wav"
            self.skipped[f"{number}@{domain}/name"] = "name_path: no such file in the folder"
        self.add("voicemail_prefs", row)
        self.greetings[f"{domain}/{number} unavailable"] = greeting
