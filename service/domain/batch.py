"""What a request about many messages came to: each by itself, in the order it was asked for."""

from enum import StrEnum

import msgspec

from service.domain.message import MessageId

MAX_MESSAGES = 1_000
MAX_TARGETS = 100


class Reason(StrEnum):
    """Why one message of a batch was left as it was."""

    NOT_FOUND = "not_found"
    EXPIRED = "expired"
    NO_AUDIO = "no_audio"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """The ids that came out of it (new ones after a move or copy), and those that failed."""

    succeeded: list[MessageId]
    failed: list[tuple[str, Reason]]
