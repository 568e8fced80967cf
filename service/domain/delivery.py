"""Deliveries: one event for one target of a notifier channel, and the outcome of an attempt."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta

from service.domain.events import Event

# The targets of these channels are chosen by the account.
_CHANNELS_OF_ACCOUNTS = frozenset({"email", "webhook"})

MARKER = ""
"""Target of the row that marks an event as fanned out to the targets of a channel."""


class Status(StrEnum):
    """State of a delivery. All except `pending` are final; an operator can retry `dead` ones."""

    PENDING = "pending"
    DONE = "done"
    IGNORED = "ignored"
    DEAD = "dead"
    DROPPED = "dropped"
    FANNED_OUT = "fanned_out"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Recipient of an event, such as an address; `name` is unique per event and channel.

    The first attempt starts after `delay_s` and receives `state`.
    """

    name: str
    delay_s: float = 0.0
    state: Mapping[str, Any] = {}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a delivery; `attempt` counts from 1."""

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
        """Idempotency key: the same for all attempts of this delivery, and unique to it."""
        return uuid5(self.event_id, f"{self.channel}/{self.target}")


class DeadDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """Delivery that has failed after all retries. The target of a dead marker is empty."""

    event_id: UUID
    event_type: str | None
    channel: str
    target: str
    attempts: int
    error: str | None
    created_at: datetime
    failed_at: datetime | None
    vmbox_id: UUID | None
    media_id: str | None

    @property
    def public_error(self) -> str | None:
        """The error, unless it can name a server of the deployment."""
        return self.error if self.channel in _CHANNELS_OF_ACCOUNTS else None

    @property
    def cursor(self) -> "DeadDeliveryCursor":
        return DeadDeliveryCursor(self.created_at, self.event_id, self.channel, self.target)


class DeadDeliveryCursor(msgspec.Struct, frozen=True, array_like=True):
    """Sort key of the first delivery of a page of dead deliveries."""

    created_at: Annotated[datetime, Meta(tz=True)]
    event_id: UUID
    channel: Annotated[str, Meta(pattern="^[^\\0]*$")]
    target: Annotated[str, Meta(pattern="^[^\\0]*$")]


class Done(msgspec.Struct, frozen=True):
    """The target has accepted the event."""


class Ignored(msgspec.Struct, frozen=True):
    """The delivery is no longer necessary."""

    reason: str


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt failed. The delivery is retried as scheduled, but not before `retry_after_s`.

    It is dead after the last retry. If `permanent`, it is dead at once, because the next attempt
    would fail in the same way.
    """

    error: str
    permanent: bool = False
    retry_after_s: float = 0.0


class Postponed(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery is not due yet. The next attempt starts after `delay_s` with this state."""

    delay_s: float
    state: Mapping[str, Any] = {}


Outcome = Done | Ignored | Failed | Postponed
