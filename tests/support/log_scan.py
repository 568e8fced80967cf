"""Scan of all log lines at the end of a test run: none may contain confidential values.

Logs are `*.log` files in the folders of processes, stderr of commands, and the log of the test
process. The fixture below fails the run when a log contains a confidential value.
"""

import contextlib
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service import logs
from tests.support.confidential import Confidential

# Fields that contain digits without meaning; the caller chooses the request id.
_HARMLESS = frozenset({"timestamp", "level", "logger", "process", "request_id"})
# Logs of other programs, which contain plain numbers.
_OTHERS = re.compile(r"(?:nats|postgres|s3|pgbouncer)\b.*\.log")


class LogScan:
    """Findings name the place and the kind of a value, never the value."""

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
            self.findings += [
                f"{source}, line {number}{_logger_of(line)}: {kind}" for kind in sorted(kinds)
            ]

    def read_folder(self, folder: Path) -> None:
        """Reads all logs below a folder; the data files of the S3 server start with digits."""
        for path in sorted(folder.rglob("[!0-9]*.log")):
            with path.open(errors="replace") as file:
                self.read("/".join(path.parts[-3:]), file, ours=not _OTHERS.fullmatch(path.name))


def _logger_of(line: str) -> str:
    """Returns the module that wrote a JSON log line; its event could contain the value."""
    try:
        return f", {json.loads(line)['logger']}"
    except (ValueError, LookupError, TypeError):
        return ""


def _texts(line: str) -> Iterator[str]:
    """Yields the strings of a JSON log line, or the line itself."""
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


# One for the whole run: one process may log a value that another one received.
CONFIDENTIAL = Confidential()
SCAN = LogScan(CONFIDENTIAL)


@contextlib.contextmanager
def folder_with_logs(prefix: str) -> Iterator[Path]:
    """Temporary folder; its logs are scanned before it is deleted.

    Not pytest's own temporary folder: root's is closed to the user that Postgres runs as.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        SCAN.read_folder(folder)
        shutil.rmtree(folder, ignore_errors=True)


def scanned_stderr(command: str, said: bytes) -> str:
    """Returns the stderr of a command, and scans it as a log."""
    text = said.decode(errors="replace")
    SCAN.read(f"stderr of {command}", text.splitlines())
    return text


@pytest.fixture(scope="session", autouse=True)
def nothing_confidential_is_logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs as the first fixture, so that it ends after every process has ended."""
    with folder_with_logs("aftertone-logs-") as folder, (folder / "tests.log").open("w") as file:
        with contextlib.redirect_stderr(file):
            logs.configure("tests", "info", "json")
        # The tests' own clients and servers, which are no part of the service.
        for other in ("httpx", "httpcore", "aiohttp.access"):
            logging.getLogger(other).setLevel(logging.WARNING)
        yield
    SCAN.read_folder(tmp_path_factory.getbasetemp())
    if SCAN.findings:
        pytest.fail("Logs contain confidential values:\n" + "\n".join(SCAN.findings), pytrace=False)
