"""JSON of erasures."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.types import GregorianSeconds, HexId
from service.domain.erasure import Erasure, ErasureKind, ErasurePhase


class ErasureRow(msgspec.Struct, kw_only=True):
    """An erasure. It does not contain the number and the name."""

    id: HexId
    kind: ErasureKind
    account_id: Annotated[HexId, Meta(description="The account whose data are erased")]
    phase: Annotated[ErasurePhase, Meta(description="The work in progress")]
    removed: Annotated[dict[str, int], Meta(description="The number of erased items by name")]
    created: GregorianSeconds
    finished: GregorianSeconds | UnsetType = UNSET


def erasure_row(job: Erasure) -> ErasureRow:
    """Returns an erasure as a response."""
    return ErasureRow(
        id=job.erasure_id.hex,
        kind=job.kind,
        account_id=job.subject_id.hex,
        phase=job.phase,
        removed=dict(job.removed),
        created=gregorian(job.created_at),
        finished=UNSET if job.finished_at is None else gregorian(job.finished_at),
    )
