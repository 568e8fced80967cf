"""Notifier channels. A channel selects the targets of an event and delivers it to one of them.

A channel is a class with the members of `Channel` below. `service.workers.notifier.Notifier` runs
it, and `service.wiring.notifiers` builds it by name. For each event:

1. The runner reads the events with a type in `events` (empty: all) from the durable consumer
   `notifier-<name>`. It has validated their data. If `handles(event)` is false, the event is
   acknowledged without a row. `handles` must use the event only.
2. In one transaction, the runner inserts the marker row and calls `targets(connection, event)`.
   Each Target becomes a row of `deliveries`; without any, the marker becomes `ignored`. A repeated
   event finds the marker and has no effect, so targets that were added later do not get it.
   `targets` may read, lock and write through `connection`, and must use no other system.
3. Workers lease due rows, fairly over targets: at most `per_target` per (account, target) and
   `concurrency` in total. They call `deliver(delivery)` outside any transaction and cancel it after
   `timeout_s`. It returns the outcome:
     Done()                        delivered; final
     Ignored(reason)               nothing to do, for example the message was deleted; final
     Failed(error=..., permanent=False, retry_after_s=0)
                                   retried after the delays of `notifier_retries_s`, then `dead`
     Postponed(delay_s=..., state={})
                                   not a failure; called again after the delay with that state
   An exception counts as Failed. Operators see `error`; it must not contain message content.
4. In one transaction, the runner writes the row and calls `settle(connection, delivery, outcome)`.
   Its effects happen exactly once with the outcome (move a message, record an attempt, append an
   event). If it raises, the transaction is rolled back and the attempt counts as failed.

If a process dies between `deliver` and the write, the lease expires and `deliver` is called again
with the same `delivery.key` (UUIDv5 of event ID, channel, target), which serves as idempotency key.
The channel `mwi` has no rows: only the latest event of a box is important for its lamp. It is a
class of its own with the same `run(stop)`, built on `bus.consumer(...)`.
"""

from collections.abc import Sequence
from typing import Protocol

from service.domain.delivery import (
    Delivery,
    Done,
    Failed,
    Ignored,
    Outcome,
    Postponed,
    Target,
)
from service.domain.events import Event
from service.postgres.pool import Connection

__all__ = ["Channel", "Delivery", "Done", "Failed", "Ignored", "Outcome", "Postponed", "Target"]


class Channel(Protocol):
    """Interface of a channel."""

    name: str
    """Name in `aftertone notifier NAME`, in rows, and in the name of the consumer."""
    events: tuple[str, ...]
    """Event types to read, such as `message.new`. Empty means all."""
    timeout_s: float
    """Timeout of a delivery."""
    concurrency: int
    """Maximum number of parallel deliveries in one process."""
    per_target: int
    """Maximum number of parallel deliveries to one target in one process."""

    def handles(self, event: Event) -> bool:
        """Returns True if the event is relevant for this channel."""

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """Returns the targets, in the transaction that inserts the marker."""

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Makes one attempt."""

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Applies the effects of the outcome, in the transaction that writes it."""
