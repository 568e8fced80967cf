"""Findings of a verification, and the report about them."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

VERSION = 1
MAX_DETAILS = 10_000


class Kind(StrEnum):
    """Kind of a finding. Its value is the key in the report."""

    AUDIO_MISSING = "audio_missing"
    SIZE_DIFFERS = "size_differs"
    CONTENT_DIFFERS = "content_differs"
    AUDIO_UNREADABLE = "audio_unreadable"
    VMBOX_MISSING = "vmbox_missing"
    ORPHAN = "orphan"
    UNKNOWN_OBJECT = "unknown_object"
    COUNTS_DIFFER = "counts_differ"
    VMBOX_BYTES_DIFFER = "vmbox_bytes_differ"
    ACCOUNT_BYTES_DIFFER = "account_bytes_differ"


MEANINGS: Mapping[Kind, str] = {
    Kind.AUDIO_MISSING: "a message or greeting whose audio is not in the bucket",
    Kind.SIZE_DIFFERS: "audio with another size than its row has",
    Kind.CONTENT_DIFFERS: "audio with another SHA-256 than its row has",
    Kind.AUDIO_UNREADABLE: "audio that is empty, or clearly not audio",
    Kind.VMBOX_MISSING: "a message whose mailbox does not exist",
    Kind.ORPHAN: "an object without a row, older than the grace of orphans (repaired)",
    Kind.UNKNOWN_OBJECT: "an object whose key has another format",
    Kind.COUNTS_DIFFER: "a mailbox whose counts differ from its messages (repaired)",
    Kind.VMBOX_BYTES_DIFFER: "a mailbox whose stored bytes differ from its messages (repaired)",
    Kind.ACCOUNT_BYTES_DIFFER: "an account whose stored bytes differ from its boxes (repaired)",
}
"""Descriptions for the help of the command. Only the kinds marked with (repaired) are repaired."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Finding in detail. IDs are 32 hex digits; `message_id` is `YYYYMM-<32 hex digits>`."""

    kind: Kind
    account_id: str | None = None
    vmbox_id: str | None = None
    message_id: str | None = None
    greeting_id: str | None = None
    key: str | None = None
    expected: Any = None
    actual: Any = None
    repaired: bool = False


class Findings:
    """Counts findings, and keeps the first MAX_DETAILS of them in detail."""

    def __init__(self, clock: Callable[[], datetime], scope: Mapping[str, Any]) -> None:
        self._clock = clock
        self._scope = scope
        self._started_at = clock()
        self.checked: Counter[str] = Counter()
        self.found: Counter[Kind] = Counter()
        self.repaired: Counter[Kind] = Counter()
        self.details: list[Finding] = []
        self.is_complete = False

    def add(self, finding: Finding) -> None:
        self.found[finding.kind] += 1
        self.repaired[finding.kind] += finding.repaired
        if len(self.details) < MAX_DETAILS:
            self.details.append(finding)

    @property
    def remaining(self) -> int:
        """Number of findings that were not repaired."""
        return self.found.total() - self.repaired.total()

    def report(self) -> dict[str, Any]:
        """Returns the report as a JSON document."""
        return {
            "version": VERSION,
            "started_at": self._started_at,
            "finished_at": self._clock(),
            "complete": self.is_complete,
            "scope": self._scope,
            "checked": dict(self.checked),
            "findings": {kind: self.found[kind] for kind in Kind},
            "repaired": {kind: self.repaired[kind] for kind in Kind if self.repaired[kind]},
            "not_repaired": {
                kind: self.found[kind] - self.repaired[kind]
                for kind in Kind
                if self.found[kind] > self.repaired[kind]
            },
            "details": self.details,
            "details_left_out": self.found.total() - len(self.details),
        }
