"""A delivery: what a notifier channel owes to one target of an event, and how an attempt ended."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

import msgspec

from service.domain.events import Event

MARKER = ""
"""The target of the row that says an event was dealt out to a channel's targets."""


class Status(StrEnum):
    """Where a delivery is. All but `pending` are final, until an operator says otherwise."""

    PENDING = "pending"
    DONE = "done"
    IGNORED = "ignored"
    DEAD = "dead"
    DROPPED = "dropped"
    FANNED_OUT = "fanned_out"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an event concerns: an address, a subscription; `name` is unique per event and channel.

    The first attempt comes after `delay_s`; `state` is handed to it.
    """

    name: str
    delay_s: float = 0.0
    state: Mapping[str, Any] = {}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt's worth of work; `attempt` counts from 1."""

    account_id: UUID
    event_id: UUID
    channel: str
    target: str
    attempt: int
    created_at: datetime
    event: Event
    state: Mapping[str, Any]

    @property
    def key(self) -> UUID:
        """The idempotency key: the same for every attempt, and for no other delivery."""
        return uuid5(self.event_id, f"{self.channel}/{self.target}")


class Done(msgspec.Struct, frozen=True):
    """The target has it."""


class Ignored(msgspec.Struct, frozen=True):
    """There is nothing to do any more, and that is right."""

    reason: str


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """It did not work. Tried again as scheduled (not before `retry_after_s`), then dead.

    `permanent`: dead at once, since the next attempt would end the same way.
    """

    error: str
    permanent: bool = False
    retry_after_s: float = 0.0


class Postponed(msgspec.Struct, frozen=True, kw_only=True):
    """Not yet, which is no failure: again after `delay_s`, with this state."""

    delay_s: float
    state: Mapping[str, Any] = {}


Outcome = Done | Ignored | Failed | Postponed
