"""JSON of exports."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.types import GregorianSeconds, HexId
from service.domain.export import ExportJob, ExportStatus


class ExportRow(msgspec.Struct, kw_only=True):
    """An export of an account."""

    id: HexId
    status: Annotated[ExportStatus, Meta(description="`done`: the archive can be downloaded")]
    messages: Annotated[int, Meta(description="Number of messages to export; 0 before the start")]
    exported: Annotated[int, Meta(description="Number of messages in the archive so far")]
    missing_audio: Annotated[
        int, Meta(description="Number of recordings that the audio store does not have")
    ]
    size: Annotated[int, Meta(description="Size of the archive in bytes")] | UnsetType = UNSET
    problem: Annotated[str, Meta(description="Reason of a failure")] | UnsetType = UNSET
    created: GregorianSeconds
    finished: GregorianSeconds | UnsetType = UNSET


def export_row(job: ExportJob) -> ExportRow:
    """Returns an export with its progress."""
    return ExportRow(
        id=job.export_id.hex,
        status=job.status,
        messages=job.messages,
        exported=job.exported,
        missing_audio=job.missing_audio,
        size=UNSET if job.archive_size is None else job.archive_size,
        problem=UNSET if job.problem is None else job.problem,
        created=gregorian(job.created_at),
        finished=UNSET if job.finished_at is None else gregorian(job.finished_at),
    )
