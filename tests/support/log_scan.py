"""Every log line of a test run is read at its end: none may hold what is confidential.

Logs are `*.log` files in the folders of processes, what commands wrote on stderr, and what is
logged in the tests' own process. The fixture below makes the run fail where one says too much.
"""

import contextlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service import logs
from tests.support.confidential import Confidential

# Set by us and full of digits that mean nothing; a request's id is whatever its caller says.
_HARMLESS = frozenset({"timestamp", "level", "logger", "process", "request_id"})
# Servers that are not ours, and say how much and how many without a unit.
_OTHERS = frozenset({"nats.log", "postgres.log", "s3.log"})


class LogScan:
    """Findings say where, and what kind; never what."""

    def __init__(self, confidential: Confidential) -> None:
        self.confidential = confidential
        self.findings: list[str] = []
        self.lines = 0

    def read(self, source: str, lines: Iterable[str], *, ours: bool = True) -> None:
        for number, line in enumerate(lines, 1):
            self.lines += 1
            kinds: set[str] = set()
            for text in _texts(line):
                kinds.update(self.confidential.kinds_in(text, ours=ours))
            self.findings += [f"{source}, line {number}: {kind}" for kind in sorted(kinds)]

    def read_folder(self, folder: Path) -> None:
        """All logs below the folder; S3's store names its data so too, with digits before."""
        for path in sorted(folder.rglob("[!0-9]*.log")):
            with path.open(errors="replace") as file:
                self.read("/".join(path.parts[-3:]), file, ours=path.name not in _OTHERS)


def _texts(line: str) -> Iterator[str]:
    """The texts of a line of ours; another program's line as it is. Numbers measure things."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = line
    yield from _strings(fields)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _HARMLESS:
                yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


# One for the run: what is sent here may be logged there.
CONFIDENTIAL = Confidential()
SCAN = LogScan(CONFIDENTIAL)


@contextlib.contextmanager
def folder_with_logs(prefix: str) -> Iterator[Path]:
    """A temporary folder; its logs are read before it goes.

    Not pytest's own temporary folder: root's is closed to the user that Postgres runs as.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        SCAN.read_folder(folder)
        shutil.rmtree(folder, ignore_errors=True)


def heard(command: str, said: bytes) -> str:
    """What a command wrote on stderr, read as a log."""
    text = said.decode(errors="replace")
    SCAN.read(f"stderr of {command}", text.splitlines())
    return text


@pytest.fixture(scope="session", autouse=True)
def nothing_confidential_is_logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The first fixture of all, so that its end comes after every process has ended."""
    with folder_with_logs("aftertone-logs-") as folder, (folder / "tests.log").open("w") as file:
        with contextlib.redirect_stderr(file):
            logs.configure("tests", "info", "json")
        # The tests' own clients and servers, which are no part of the service.
        for other in ("httpx", "httpcore", "aiohttp.access"):
            logging.getLogger(other).setLevel(logging.WARNING)
        yield
    SCAN.read_folder(tmp_path_factory.getbasetemp())
    if SCAN.findings:
        pytest.fail("Logs hold what they must not:\n" + "\n".join(SCAN.findings), pytrace=False)
