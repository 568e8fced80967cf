"""Erasures: jobs that delete the data of a person, or of a deleted account."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from service.domain.formats import NO_NUL
from service.domain.message import MAX_ADDRESS, MAX_CALLER_ID
from service.domain.schema import Field

FIELDS: dict[str, Field] = {
    "caller_id_number": Field(required=True, min_length=1, max_length=MAX_ADDRESS, format=NO_NUL),
    "caller_id_name": Field(min_length=1, max_length=MAX_CALLER_ID, format=NO_NUL),
}


class ErasureKind(StrEnum):
    """Scope of a job."""

    PERSON = "person"
    ACCOUNT = "account"


class ErasurePhase(StrEnum):
    """Work of a job, in this order."""

    MESSAGES = "messages"
    EVENTS = "events"
    RESPONSES = "responses"
    STREAM = "stream"
    DELIVERIES = "deliveries"
    MAIL = "mail"
    OTHER = "other"
    FINISHED = "finished"


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """Job that is listed in `account_id` and erases data of the account `subject_id`.

    `caller` is the number in comparable form. Number and name are None for a whole account, and
    when the job is finished. `removed` has the number of erased items by name.
    """

    account_id: UUID
    erasure_id: UUID
    subject_id: UUID
    kind: ErasureKind
    caller_id_number: str | None
    caller_id_name: str | None
    caller: str | None
    phase: ErasurePhase
    removed: Mapping[str, int]
    pending_keys: tuple[str, ...]
    created_at: datetime
    finished_at: datetime | None
