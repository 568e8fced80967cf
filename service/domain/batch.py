"""Results of requests for many messages, in the order of the request."""

from enum import StrEnum
from uuid import UUID

import msgspec

from service.domain.message import MessageId

MAX_MESSAGES = 1_000
MAX_TARGETS = 100


class Reason(StrEnum):
    """Reason why a message or a mailbox of a batch was not changed."""

    NOT_FOUND = "not_found"
    EXPIRED = "expired"
    NO_AUDIO = "no_audio"
    CONFLICT = "conflict"
    HELD = "held"
    UNAVAILABLE = "unavailable"
    QUOTA_EXCEEDED = "quota_exceeded"
    FULL = "full"
    NUMBER_TAKEN = "number_taken"


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Ids that succeeded (new ids after a move or copy), and the failed ones with reasons."""

    succeeded: list[MessageId]
    failed: list[tuple[str, Reason]]


class VmboxBatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Mailboxes that succeeded, and the failed ones with reasons.

    `numbers` are the numbers of a failed mailbox that other mailboxes have taken.
    """

    succeeded: list[UUID] = msgspec.field(default_factory=list)
    failed: list[tuple[str, Reason]] = msgspec.field(default_factory=list)
    numbers: dict[str, list[str]] = msgspec.field(default_factory=dict)
