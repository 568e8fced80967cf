"""Files of a spool. Read only: nothing is locked, and symbolic links are not followed.

Asterisk may write at the same time. It renames the files of a message when it renumbers a folder,
so a file that was listed is read only if it is still the same file.

All functions block.
"""

import errno
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from service.domain.message import Folder
from service.transfer.asterisk.audio import best_first, is_audio
from service.transfer.files import open_below, printable_path
from service.transfer.source import (
    GreetingKind,
    Skipped,
    SourceError,
    SourceFailed,
)

FOLDERS = {
    "INBOX": Folder.NEW,
    "Urgent": Folder.NEW,
    "Old": Folder.SAVED,
    "Work": Folder.SAVED,
    "Family": Folder.SAVED,
    "Friends": Folder.SAVED,
    **{f"Cust{number}": Folder.SAVED for number in range(1, 6)},
    "Deleted": Folder.DELETED,
}
"""Folders of a mailbox, in the order in which they are read."""
GREETINGS = {
    "unavail": GreetingKind.UNAVAILABLE,
    "busy": GreetingKind.BUSY,
    "greet": GreetingKind.NAME,
    "temp": GreetingKind.TEMPORARY,
}
PASSWORD_FILE = "secret.conf"  # noqa: S105 - the name of a file
CHANGED = "the file has changed while it was read; run the import again"
_INTRODUCTION = re.compile(r"(?P<stem>msg\d{4,9})intro\.(?P<extension>[A-Za-z0-9-]+)")
_MESSAGE = re.compile(r"(?P<stem>msg\d{4,9})\.(?P<extension>[A-Za-z0-9-]+)")
# Asterisk locks a folder with these files. `tmp` has recordings that are not finished.
_LOCKS = re.compile(r"\.lock.*|lock")
_UNFINISHED = "tmp"


class SpoolFile(msgspec.Struct, frozen=True):
    """File below the spool, by the names of its folders and its own, and its identity."""

    names: tuple[str, ...]
    inode: int
    size: int
    modified_ns: int

    @property
    def extension(self) -> str:
        return self.names[-1].partition(".")[2]


class SpoolRecording(msgspec.Struct, frozen=True):
    """Audio in one or more formats, the best one first, and the text file of a message.

    `introduction` is the comment of a forwarded message.
    """

    names: tuple[str, ...]
    audio: list[SpoolFile]
    text: SpoolFile | None = None
    introduction: "SpoolRecording | None" = None


def boxes_of(root: Path) -> tuple[list[tuple[str, str]], list[Skipped]]:
    """Returns context and number of the mailboxes that have a folder.

    Raises SourceFailed if the spool cannot be read.
    """
    skipped: list[Skipped] = []
    try:
        contexts = list(_folders(root, (), skipped))
    except OSError as error:
        raise SourceFailed(f"{root} cannot be read ({error.strerror}); check the path.") from error
    boxes = []
    for context in contexts:
        try:
            boxes += [(context, number) for number in _folders(root, (context,), skipped)]
        except OSError as error:
            skipped.append(
                Skipped(printable_path(context), error.strerror or "the folder cannot be read")
            )
    return boxes, skipped


def greetings_of(root: Path, context: str, number: str) -> Iterator[SpoolRecording | Skipped]:
    """Yields the greetings of a mailbox, and the files that are not greetings."""
    formats: defaultdict[str, list[SpoolFile]] = defaultdict(list)
    for file in _files(root, (context, number)):
        match file:
            case SpoolFile(names=(*_, name)) if file.extension and is_audio(file.extension):
                formats[name.partition(".")[0]].append(file)
            case SpoolFile(names=(*_, name)) if name == PASSWORD_FILE or _LOCKS.fullmatch(name):
                continue
            case SpoolFile():
                yield Skipped(printable_path(*file.names), "not a greeting")
            case Skipped():
                yield file
    for stem, files in sorted(formats.items()):
        if stem in GREETINGS:
            yield _recording((context, number, stem), files, None)
        else:
            yield Skipped(printable_path(context, number, stem), "not a greeting")


def folders_of(root: Path, context: str, number: str) -> tuple[list[str], list[Skipped]]:
    """Returns the folders of a mailbox that may have messages, and the other folders."""
    skipped: list[Skipped] = []
    try:
        names = list(_folders(root, (context, number), skipped))
    except OSError:
        # A box of voicemail.conf without messages has no folder.
        return [], []
    for name in names:
        if name not in FOLDERS and any(_files(root, (context, number, name))):
            is_unfinished = name == _UNFINISHED
            reason = "recordings in progress" if is_unfinished else "not a folder of Asterisk"
            skipped.append(Skipped(printable_path(context, number, name), reason))
    return [name for name in FOLDERS if name in names], skipped


def messages_of(root: Path, *folder: str) -> Iterator[SpoolRecording | Skipped]:
    """Yields the messages of a folder in the order of their numbers."""
    formats: defaultdict[str, list[SpoolFile]] = defaultdict(list)
    introductions: defaultdict[str, list[SpoolFile]] = defaultdict(list)
    texts: dict[str, SpoolFile] = {}
    for file in _files(root, folder):
        if isinstance(file, Skipped):
            yield file
            continue
        name = file.names[-1]
        match = _MESSAGE.fullmatch(name)
        if match and match["extension"] == "txt":
            texts[match["stem"]] = file
        elif match and is_audio(match["extension"]):
            formats[match["stem"]].append(file)
        elif (intro := _INTRODUCTION.fullmatch(name)) and is_audio(intro["extension"]):
            introductions[intro["stem"]].append(file)
        elif not _LOCKS.fullmatch(name):
            yield Skipped(printable_path(*file.names), "not a file of a message")
    for stem in sorted(texts.keys() | formats.keys(), key=lambda stem: (len(stem), stem)):
        recording = _recording((*folder, stem), formats[stem], texts.get(stem), needs_text=True)
        yield _with_introduction(recording, introductions.pop(stem, []))
    for file in (file for files in introductions.values() for file in files):
        yield Skipped(printable_path(*file.names), "an introduction without its message")


def count_messages(root: Path) -> int:
    """Returns the number of text files of messages."""
    boxes, _ = boxes_of(root)
    return sum(
        isinstance(file, SpoolFile) and file.extension == "txt"
        for box in boxes
        for folder in folders_of(root, *box)[0]
        for file in _files(root, (*box, folder))
    )


@contextmanager
def open_listed_file(root: Path, file: SpoolFile) -> Iterator[int]:
    """Opens a file for reading. Raises SourceError if it is not the file that was listed."""
    try:
        descriptor = open_below(root, file.names)
    except OSError as error:
        is_moved = error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR)
        raise SourceError(CHANGED if is_moved else str(error.strerror)) from error
    try:
        if _identity(os.fstat(descriptor)) != (file.inode, file.size, file.modified_ns):
            raise SourceError(CHANGED)
        yield descriptor
    finally:
        os.close(descriptor)


def read_text(root: Path, file: SpoolFile, limit: int) -> bytes:
    """Returns the content of a small file. Raises SourceError."""
    if file.size > limit:
        raise SourceError(f"the text file is larger than {limit} bytes")
    with open_listed_file(root, file) as descriptor:
        return os.read(descriptor, limit)


def read_password_file(root: Path, context: str, number: str) -> bytes:
    """Returns the content of the file with the password of a mailbox; empty without a file."""
    try:
        descriptor = open_below(root, (context, number, PASSWORD_FILE))
    except OSError:
        return b""
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _recording(
    names: tuple[str, ...],
    audio: list[SpoolFile],
    text: SpoolFile | None,
    *,
    needs_text: bool = False,
) -> SpoolRecording | Skipped:
    complete = [file for file in audio if file.size]
    if not complete:
        reason = "the audio is empty" if audio else "a text file without audio"
        return Skipped(printable_path(*names), reason)
    if needs_text and text is None:
        return Skipped(printable_path(*names), "audio without a text file")
    by_extension = {file.extension: file for file in complete}
    return SpoolRecording(names, [by_extension[name] for name in best_first(by_extension)], text)


def _with_introduction(
    recording: SpoolRecording | Skipped, files: list[SpoolFile]
) -> SpoolRecording | Skipped:
    if isinstance(recording, Skipped) or not files:
        return recording
    introduction = _recording((*recording.names[:-1], f"{recording.names[-1]}intro"), files, None)
    if isinstance(introduction, Skipped):
        # Asterisk does not play an empty one.
        return recording
    return msgspec.structs.replace(recording, introduction=introduction)


def _folders(root: Path, names: tuple[str, ...], skipped: list[Skipped]) -> Iterator[str]:
    """Yields the names of the folders in a folder, sorted, without hidden ones. Raises OSError.

    A symbolic link to another folder of the spool is left out: that folder is read itself.
    """
    for entry in _scan(root, names):
        if entry.name.startswith(".") or _LOCKS.fullmatch(entry.name):
            continue
        if entry.is_symlink():
            target = Path(root, *names, entry.name).resolve()
            if not (target.is_dir() and target.is_relative_to(root.resolve())):
                reason = "a symbolic link that does not lead to a folder of the spool"
                skipped.append(Skipped(printable_path(*names, entry.name), reason))
        elif entry.is_dir(follow_symlinks=False):
            yield entry.name


def _files(root: Path, folder: tuple[str, ...]) -> Iterator[SpoolFile | Skipped]:
    """Yields the files of a folder, sorted by name. A folder that does not exist has none."""
    try:
        entries = _scan(root, folder)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            yield Skipped(printable_path(*folder), error.strerror or "the folder cannot be read")
        return
    for entry in entries:
        names = (*folder, entry.name)
        try:
            status = Path(root, *names).lstat()
        except OSError:
            # The next import finds a renamed file.
            if not _LOCKS.fullmatch(entry.name):
                yield Skipped(printable_path(*names), CHANGED)
            continue
        if stat.S_ISREG(status.st_mode):
            yield SpoolFile(names, *_identity(status))
        elif not stat.S_ISDIR(status.st_mode):
            is_link = stat.S_ISLNK(status.st_mode)
            yield Skipped(
                printable_path(*names), "a symbolic link" if is_link else "not a regular file"
            )


def _scan(root: Path, names: tuple[str, ...]) -> list[os.DirEntry[str]]:
    with os.scandir(Path(root, *names)) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
