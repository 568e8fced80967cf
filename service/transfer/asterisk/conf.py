"""Configuration files of Asterisk: sections, templates, includes and comments."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from service.transfer.source import Skipped, SourceFailed
from service.transfer.text import decode

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_FILES = 100
_MAX_DEPTH = 10
_HEADER = re.compile(r"\[(?P<name>[^\]]+)\]\s*(?:\((?P<flags>[^)]*)\))?")
_DIRECTIVE = re.compile(r"#(?P<name>include|tryinclude|exec)\s*[<\"]?(?P<file>[^>\"]*)")
_COMMENT = re.compile(r"\\;|;--(?!-)|--;|;")

Entry = tuple[str, str]
"""Name and value of a line."""


class Conf(msgspec.Struct, frozen=True):
    """Sections in their order, without templates, and the lines that were not used."""

    sections: dict[str, list[Entry]]
    skipped: list[Skipped]

    def options(self, section: str) -> dict[str, str]:
        """Returns the entries of a section by lower-case name; the last one of a name counts."""
        return {name.lower(): value for name, value in self.sections.get(section, [])}


def read_conf(path: Path) -> Conf:
    """Reads a file and the files that it includes. Blocks.

    Included files must be below the folder of the file. Raises SourceFailed if the file itself
    cannot be read.
    """
    reader = _Reader(path.parent.resolve())
    try:
        content = _read_bounded(path)
    except OSError as error:
        raise SourceFailed(f"{path} cannot be read ({error.strerror}); check the path.") from error
    reader.read(path.name, content, depth=0)
    return reader.conf()


def without_comments(line: str, depth: int) -> tuple[str, int]:
    """Returns a line without comments, and the depth of open `;--` blocks after it."""
    parts, position = [], 0
    for match in _COMMENT.finditer(line):
        if depth == 0:
            parts.append(line[position : match.start()])
        position = match.end()
        match match.group():
            case "\\;" if depth == 0:
                parts.append(";")
            case ";--":
                depth += 1
            case "--;" if depth > 0:
                depth -= 1
            case "--;":
                return "".join([*parts, "--"]), 0
            case ";" if depth == 0:
                return "".join(parts), 0
    return "".join([*parts, line[position:] if depth == 0 else ""]), depth


class _Reader:
    """Collects the sections of a file and its includes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sections: dict[str, list[Entry]] = {}
        self._templates: set[str] = set()
        self._skipped: list[Skipped] = []
        self._current: list[Entry] = []
        self._files = 0

    def conf(self) -> Conf:
        sections = {
            name: entries for name, entries in self._sections.items() if name not in self._templates
        }
        return Conf(sections, self._skipped)

    def read(self, name: str, content: bytes, depth: int) -> None:
        block = 0
        for number, line in enumerate(content.splitlines(), start=1):
            text, block = without_comments(decode(line), block)
            if text := text.strip():
                self._read_line(f"{name}:{number}", text, depth)

    def _read_line(self, place: str, text: str, depth: int) -> None:
        if header := _HEADER.match(text):
            self._open_section(header["name"].strip(), header["flags"] or "")
        elif directive := _DIRECTIVE.match(text):
            self._follow(place, directive["name"], directive["file"].strip(), depth)
        elif "=" in text:
            name, _, value = text.partition("=")
            self._current.append((name.strip(), value.removeprefix(">").strip()))
        else:
            self._skipped.append(Skipped(place, "the line is not of the form `name = value`"))

    def _open_section(self, name: str, flags: str) -> None:
        """Opens `[name](flags)`: `!` is a template, `+` continues, others are templates to copy."""
        words = [word.strip() for word in flags.split(",") if word.strip()]
        if "!" in words:
            self._templates.add(name)
        self._current = self._sections.setdefault(name, [])
        for base in words:
            self._current += self._sections.get(base, [])

    def _follow(self, place: str, kind: str, file: str, depth: int) -> None:
        if kind == "exec":
            self._skipped.append(Skipped(place, "programs are not run; save the output as a file"))
            return
        paths = list(self._included(file))
        if not paths and kind == "include":
            reason = f"{file}: no such file below the folder of the configuration; copy it there"
            self._skipped.append(Skipped(place, reason))
        for path in paths:
            self._include(place, path, depth + 1)

    def _included(self, file: str) -> Iterator[Path]:
        """Yields the files of a name with wildcards that are below the folder."""
        pattern = Path(file)
        if pattern.is_absolute():
            if not pattern.is_relative_to(self._folder):
                return
            pattern = pattern.relative_to(self._folder)
        if file and ".." not in pattern.parts:
            for path in sorted(self._folder.glob(str(pattern))):
                if path.is_file() and path.resolve().is_relative_to(self._folder):
                    yield path

    def _include(self, place: str, path: Path, depth: int) -> None:
        self._files += 1
        if depth > _MAX_DEPTH or self._files > MAX_FILES:
            self._skipped.append(Skipped(place, f"{path.name}: too many included files"))
            return
        try:
            content = _read_bounded(path)
        except OSError as error:
            self._skipped.append(Skipped(place, f"{path.name}: {error.strerror}"))
        else:
            self.read(path.name, content, depth)


def _read_bounded(path: Path) -> bytes:
    """Returns the content of a file. Raises SourceFailed if it is too large."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise SourceFailed(f"{path} is larger than {MAX_FILE_BYTES} bytes; is it a configuration?")
    return content
