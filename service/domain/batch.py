"""Results of requests for many messages, in the order of the request."""

from enum import StrEnum

import msgspec

from service.domain.message import MessageId

MAX_MESSAGES = 1_000
MAX_TARGETS = 100


class Reason(StrEnum):
    """Reason why a message of a batch was not changed."""

    NOT_FOUND = "not_found"
    EXPIRED = "expired"
    NO_AUDIO = "no_audio"
    CONFLICT = "conflict"
    HELD = "held"
    UNAVAILABLE = "unavailable"
    QUOTA_EXCEEDED = "quota_exceeded"


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Ids that succeeded (new ids after a move or copy), and the failed ones with reasons."""

    succeeded: list[MessageId]
    failed: list[tuple[str, Reason]]
