"""Results of an import: counts by kind, the target of each record, and what was skipped."""

from collections import Counter
from enum import StrEnum
from typing import Protocol

import msgspec

from service.transfer.source import Skipped


class RecordKind(StrEnum):
    """Kind of an imported record."""

    ACCOUNT = "account"
    USER = "user"
    GREETING = "greeting"
    BOX = "box"
    MESSAGE = "message"


class ImportResult(StrEnum):
    """Result of the import of one record."""

    NEW = "new"
    EXISTING = "existing"
    SKIPPED = "skipped"


class Mapped(msgspec.Struct, frozen=True):
    """Account or box of the source, and its id in this service."""

    kind: RecordKind
    name: str
    result: ImportResult
    target: str


class ImportObserver(Protocol):
    """Receives each result of an import when it occurs, so that the importer stores none."""

    def set_total(self, total: int) -> None:
        """Receives the expected number of messages."""

    def advance(self, count: int) -> None:
        """Receives a number of processed messages."""

    def report_mapped(self, mapped: Mapped) -> None:
        """Receives the target of an account or a box."""

    def report_skipped(self, kind: RecordKind, skipped: Skipped) -> None:
        """Receives a record that was not imported, or not completely."""


class ImportReport:
    """Counts of an import, and the observer that receives its details.

    `incomplete` records were imported without a part. `expired` messages are past their retention:
    the keeper deletes them.
    """

    def __init__(self, observer: ImportObserver) -> None:
        self.observer = observer
        self.counts: Counter[tuple[RecordKind, ImportResult]] = Counter()
        self.incomplete = 0
        self.expired = 0

    def add_target(self, kind: RecordKind, name: str, result: ImportResult, target: str) -> None:
        """Counts an account or a box and reports its target."""
        self.count(kind, result)
        self.observer.report_mapped(Mapped(kind, name, result, target))

    def count(self, kind: RecordKind, result: ImportResult) -> None:
        self.counts[kind, result] += 1

    def add_skipped(self, kind: RecordKind, skipped: Skipped) -> None:
        """Counts and reports a record that was not imported."""
        self.count(kind, ImportResult.SKIPPED)
        self.observer.report_skipped(kind, skipped)

    def add_incomplete(self, kind: RecordKind, name: str, reason: str) -> None:
        """Reports a record that was imported without a part of it."""
        self.incomplete += 1
        self.observer.report_skipped(kind, Skipped(name, reason))

    @property
    def is_complete(self) -> bool:
        """True when every record was imported completely."""
        return not self.incomplete and not any(
            count for (_, result), count in self.counts.items() if result is ImportResult.SKIPPED
        )
