"""Exports that administrators start over HTTP."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

KEPT = timedelta(days=7)
"""Time after which a job and its archive are deleted."""
MAX_LISTED = 100


class ExportStatus(StrEnum):
    """State of an export. The keeper works on `pending` ones, the oldest first."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class ExportJob(msgspec.Struct, frozen=True, kw_only=True):
    """Export of an account and the accounts below it.

    `exported` is the number of its `messages` that are in the archive. `archive_size` in bytes is
    None until the export is done.
    """

    account_id: UUID
    export_id: UUID
    status: ExportStatus
    messages: int
    exported: int
    missing_audio: int
    archive_size: int | None
    problem: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def key(self) -> str:
        """Key of the archive in the bucket."""
        return f"exports/{self.account_id.hex}/{self.export_id.hex}.tar.zst"
