"""A generated spool of Asterisk, with everything that a real one may have."""

import os
import random
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from service.domain.message import Folder
from tests.support.audio_samples import a_wav
from tests.support.source_content import ImportedMessage

CONF = b"""\
[general]
format = wav49|gsm|wav
attach = yes
charset = iso-8859-1
#include "more.conf"

[zonemessages]
central = America/Chicago|'vm-received' Q 'digits/at' IMp

[default]
100 => 1234,Ann Bell,ann@example.org|bell@example.org,,tz=central|maxmsg=50
101 => -4321,M\xfcller & Sohn,,,attach=no|delete=1
102 => 102,New User

[sales]
100 => 9876,Sales
"""
_LONG_PIN = b"[default](+)\n103 => 123456789,Long PIN\n"
MORE_CONF = b"[support](!)\n300 => 1111,Template\n[sales]\n200 => 2222,Front desk\n"

REALM = "pbx.example.org"
BOXES = (
    ("default", "100"),
    ("default", "101"),
    ("default", "102"),
    ("sales", "100"),
    ("sales", "200"),
    # Only in the spool.
    ("default", "900"),
)
FOLDERS = {
    "INBOX": Folder.NEW,
    "Old": Folder.SAVED,
    "Urgent": Folder.NEW,
    "Work": Folder.SAVED,
    "Family": Folder.SAVED,
    "Friends": Folder.SAVED,
    "Cust1": Folder.SAVED,
    "Deleted": Folder.DELETED,
}
GREETINGS = {"unavail": "unavailable", "busy": "busy", "greet": "name", "temp": "temporary"}
_FORMATS = (
    ("wav",),
    ("WAV",),
    ("gsm",),
    ("gsm", "WAV", "wav"),
    ("ulaw",),
    ("alaw",),
    ("sln",),
    ("gsm", "WAV"),
    ("g729",),
)
_CALLERS: tuple[tuple[bytes, str, str], ...] = (
    (b'"Ann Bell" <+4930100>', "+4930100", "Ann Bell"),
    ('"Zoë 電話" <100>'.encode(), "100", "Zoë 電話"),
    ('"Müller" <030 12>'.encode("latin-1"), "030 12", "Müller"),
    (b'"A; \\"B\\"" <*70>', "*70", 'A; "B"'),
    (b"5551234", "5551234", ""),
    (b"Reception", "", "Reception"),
    (b"Unknown", "", ""),
)
_LONG_AGO_S = 20 * 86_400


class GeneratedSpool(msgspec.Struct, frozen=True):
    """Folder of a spool, its configuration, and the result of its import.

    `greetings` are those of the box `default/100`, by box and kind.
    """

    root: Path
    conf: Path
    messages: list[ImportedMessage]
    skipped: set[str]
    greetings: dict[str, bytes]


def generate_spool(
    folder: Path, count: int, realm: str = REALM, *, is_clean: bool = False
) -> GeneratedSpool:
    """Writes a spool with `count` complete messages, and incomplete and foreign files.

    `realm` is the domain of the accounts of the import. A clean spool can be imported completely.
    """
    root, etc = folder / "voicemail", folder / "etc"
    etc.mkdir(parents=True)
    (etc / "voicemail.conf").write_bytes(CONF if is_clean else CONF + _LONG_PIN)
    (etc / "more.conf").write_bytes(MORE_CONF)
    writer = _Writer(root, realm, is_clean=is_clean)
    for index in range(count):
        writer.add_message(index)
    if not is_clean:
        for write in (writer.add_incomplete, writer.add_foreign, writer.add_links):
            write()
    greetings = writer.add_greetings()
    return GeneratedSpool(
        root, etc / "voicemail.conf", sorted(writer.messages), writer.skipped, greetings
    )


def renumber(spool: GeneratedSpool) -> None:
    """Moves the messages of each INBOX to Old, with the next numbers, as users save messages."""
    for context, number in BOXES:
        inbox, old = (spool.root / context / number / name for name in ("INBOX", "Old"))
        old.mkdir(exist_ok=True)
        following = 1 + max((int(path.name[3:7]) for path in old.glob("msg*.txt")), default=-1)
        stems = sorted({path.name[:7] for path in inbox.glob("msg[0-9]*")})
        for offset, stem in enumerate(stems):
            for path in inbox.glob(f"{stem}.*"):
                target = f"msg{following + offset:04d}.{path.name.partition('.')[2]}"
                path.rename(old / target)


class _Writer:
    def __init__(self, root: Path, realm: str, *, is_clean: bool) -> None:
        self.root = root
        self.is_clean = is_clean
        self.realm = realm
        self.messages: list[ImportedMessage] = []
        self.skipped: set[str] = set()
        self._random = random.Random(1)
        self._numbers: Counter[Path] = Counter()
        self._start = int(time.time()) - _LONG_AGO_S

    def add_message(self, index: int) -> None:
        context, number = BOXES[index % len(BOXES)]
        folder = list(FOLDERS)[index // len(BOXES) % len(FOLDERS)]
        caller, caller_number, caller_name = _CALLERS[index % len(_CALLERS)]
        received_at = self._start + index * 600
        # Programs that add messages may write no duration.
        length_s = None if index % 17 == 16 else index % 90 + 1
        text = _text_file(
            caller,
            received_at,
            length_s,
            # Before version 12 there was no `msg_id`.
            msg_id=None if index % 3 == 2 else f"{received_at}-{index:08x}",
            flag="Urgent" if folder == "Urgent" else None,
        )
        formats = _FORMATS[index % len(_FORMATS)]
        stem = self._next(context, number, folder)
        self._write(stem.with_suffix(".txt"), text)
        samples = {name: self._audio(name) for name in formats}
        for name, sample in samples.items():
            self._write(stem.with_suffix(f".{name}"), sample)
        self.messages.append(
            ImportedMessage(
                box=f"{context}.{self.realm}/{number}",
                received_at=received_at,
                number=caller_number,
                name=caller_name,
                folder=FOLDERS[folder],
                length_s=length_s,
                audio=_imported(formats[-1], samples[formats[-1]]),
            )
        )
        if not self.is_clean and index % 5 == 0 and folder in ("INBOX", "Urgent", "Old"):
            self._repeat(stem, text, samples)

    def _repeat(self, stem: Path, text: bytes, samples: dict[str, bytes]) -> None:
        """Writes the same message again, as after an interrupted move to another folder."""
        again = self._next(*stem.parts[-4:-2], "Old")
        self._write(again.with_suffix(".txt"), text)
        for extension, sample in samples.items():
            self._write(again.with_suffix(f".{extension}"), sample)
        self._skip(again)

    def add_incomplete(self) -> None:
        """Writes the halves of messages, and a message that is still being recorded."""
        sample, text = self._audio("wav"), _text_file(b"100", self._start, 3, "1-1", None)
        recording = _text_file(b"100", self._start, None, "1-2", None)
        halves: tuple[dict[str, bytes], ...] = (
            {".txt": text},
            {".wav": sample},
            {".txt": b"", ".wav": sample},
            {".txt": text, ".wav": b""},
        )
        for files in halves:
            stem = self._next("default", "100", "INBOX")
            for suffix, content in files.items():
                self._write(stem.with_suffix(suffix), content)
            self._skip(stem)
        stem = self._next("default", "100", "INBOX")
        self._write(stem.with_suffix(".txt"), recording)
        self._write(stem.with_suffix(".wav"), sample, age_s=0)
        self._skip(stem)

    def add_foreign(self) -> None:
        """Writes locks, which are ignored, and files that are not messages."""
        inbox = self.root / "default" / "100" / "INBOX"
        for name in (".lock", ".lock-0badc0de"):
            self._write(inbox / name, b"")
        (inbox / "lock").mkdir(exist_ok=True)
        for name in ("msg0000-bak.txt", "msg9999intro.wav", "notes.doc", "msg\udcff.wav"):
            self._write(inbox / name, b"x")
            self.skipped.add(f"default/100/INBOX/{name}".replace("\udcff", "\\xff"))
        self._write(self.root / "default" / "100" / "tmp" / "Xy12.wav", b"x")
        self._write(self.root / "default" / "100" / "Holidays" / "msg0000.txt", b"x")
        self.skipped |= {"default/100/tmp", "default/100/Holidays"}

    def add_links(self) -> None:
        """Writes symbolic links: none of them may lead the import out of the spool."""
        (self.root / "device").symlink_to(self.root / "default")
        (self.root / "default" / "1000").symlink_to("100")
        (self.root / "outside").symlink_to(self.root.parent / "etc")
        stem = self._next("default", "101", "INBOX")
        self._write(stem.with_suffix(".txt"), _text_file(b"1", self._start, 1, "1-3", None))
        stem.with_suffix(".wav").symlink_to("/etc/hostname")
        self._skip(stem)
        self.skipped |= {"outside", f"default/101/INBOX/{stem.name}.wav"}

    def add_greetings(self) -> dict[str, bytes]:
        """Writes greetings in several formats."""
        box = self.root / "default" / "100"
        formats = {"unavail": "wav", "busy": "gsm", "greet": "WAV", "temp": "ulaw"}
        samples = {stem: self._audio(extension) for stem, extension in formats.items()}
        for stem, extension in formats.items():
            self._write(box / f"{stem}.{extension}", samples[stem])
        self._write(box / "unavail.gsm", self._audio("gsm"))
        self._write(box / "secret.conf", b"[general]\npassword=5555\n")
        if not self.is_clean:
            self._write(box / "intro.wav", self._audio("wav"))
            self.skipped.add("default/100/intro")
        return {
            f"default.{self.realm}/100 {GREETINGS[stem]}": _imported(formats[stem], sample)
            for stem, sample in samples.items()
        }

    def _next(self, *names: str) -> Path:
        folder = self.root.joinpath(*names)
        number = self._numbers[folder]
        self._numbers[folder] += 1
        return folder / f"msg{number:04d}"

    def _skip(self, stem: Path) -> None:
        self.skipped.add("/".join(stem.parts[-4:]))

    def _write(self, path: Path, content: bytes, age_s: int = 86_400) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (time.time() - age_s,) * 2)

    def _audio(self, extension: str) -> bytes:
        if extension == "wav":
            return a_wav(self._random.randrange(10, 200) / 1000)
        frames = self._random.randbytes(self._random.randrange(200, 2000))
        return _wav49(frames) if extension == "WAV" else b"\xd0" + frames


def _text_file(
    caller: bytes, received_at: int, length_s: int | None, msg_id: str | None, flag: str | None
) -> bytes:
    lines = [
        *(b";", b"; Message Information file", b";", b"[message]", b"origmailbox=100"),
        *(b"context=macro-vm", b"exten=s", b"rdnis=unknown", b"priority=2"),
        b"callerchan=PJSIP/trunk-%08x" % received_at,
        b"callerid=" + caller,
        b"origdate=Tue Dec  1 04:00:00 AM UTC 2026",
        b"origtime=%d" % received_at,
        b"category=",
    ]
    optional = {"msg_id": msg_id, "flag": flag, "duration": length_s}
    lines += [f"{name}={value}".encode() for name, value in optional.items() if value is not None]
    return b"\n".join(lines) + b"\n"


def _wav49(frames: bytes) -> bytes:
    """GSM 6.10 in a WAV file: blocks of 65 bytes with 320 samples."""
    form = struct.pack("<HHIIHHHH", 0x31, 1, 8000, 1625, 65, 0, 2, 320)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(frames)) + frames
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _raw_header(coding: int, bits: int) -> Callable[[bytes], bytes]:
    def with_header(audio: bytes) -> bytes:
        block = bits // 8
        form = struct.pack("<HHIIHH", coding, 1, 8000, 8000 * block, block, bits)
        padded = audio + b"\0" * (len(audio) % 2)
        chunks = b"WAVEfmt " + struct.pack("<I", 16) + form
        chunks += b"data" + struct.pack("<I", len(audio)) + padded
        return b"RIFF" + struct.pack("<I", len(chunks)) + chunks

    return with_header


_RAW = {"ulaw": _raw_header(7, 8), "alaw": _raw_header(6, 8), "sln": _raw_header(1, 16)}


def _imported(extension: str, audio: bytes) -> bytes:
    """Returns the audio as the import stores it: raw audio gets a header."""
    return _RAW[extension](audio) if extension in _RAW else audio
