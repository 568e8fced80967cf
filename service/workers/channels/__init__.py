"""Notifier channels: each says whom an event concerns and delivers to one of them.

How a channel plugs in. It is a class of the shape of `Channel` below. The runner
(`service.workers.notifier.Notifier`) does everything else; `service.wiring` builds it by name.

1. The runner reads the events named in `events` (empty: all) from a durable consumer
   `notifier-<name>` and asks `wants(event)`. What it does not want is acked and leaves no trace.
   `event.data` fits its type by then; `wants` decides from the event alone.
2. For a wanted event it opens a transaction, writes the marker row, and asks `targets(connection,
   event)`: whom it concerns *now*. Each Target becomes a row of `deliveries`; none leaves the
   marker `ignored`. A replay of the event finds the marker and does nothing, whoever came since.
   `targets` may read, lock and write over `connection`; it must wait for nothing but Postgres.
3. Workers take due rows under a lease, fairly over targets (at most `per_target` of one (account,
   target) at a time, `concurrency` in all), and call `deliver(delivery)` outside any transaction,
   cancelled after `timeout_s`. It returns how that ended:
     Done()                        the target has it: finished
     Ignored(reason)               nothing to do any more (the message is gone): finished
     Failed(error=..., permanent=False, retry_after_s=0)
                                   again as scheduled (2 m, 5 m, 15 m, 30 m, 1 h), then `dead`
     Postponed(delay_s=..., state={})  not yet, no failure: again after the delay with that state
   An exception counts as Failed. `error` is shown to operators and must not hold content.
4. The row is written and `settle(connection, delivery, outcome)` is called in one transaction: what
   is done there is done exactly once with the outcome (move a message, note an attempt, append an
   event). If it raises, the transaction is rolled back and the attempt counts as failed.

A process may die between `deliver` and the write: the lease runs out and `deliver` is called again
with the same `delivery.key` (UUIDv5 of event id, channel, target): it travels as idempotency key.
A channel without rows (message-waiting: a level, not an edge) is a loop of its own over
`bus.consumer(...)` with the same `run(stop)`.
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
    """What the runner needs of a channel."""

    @property
    def name(self) -> str:
        """As in `aftertone notifier NAME`, in rows and in the name of the consumer."""

    @property
    def events(self) -> tuple[str, ...]:
        """The event types to read, such as `message.new`; none means all."""

    @property
    def timeout_s(self) -> float:
        """After which a delivery is given up; a lease lasts somewhat longer."""

    @property
    def concurrency(self) -> int:
        """Deliveries at a time in one process."""

    @property
    def per_target(self) -> int:
        """Deliveries at a time to one target in one process."""

    def handles(self, event: Event) -> bool:
        """Whether the event concerns this channel at all."""

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """Whom the event concerns, in the transaction that notes it."""

    async def deliver(self, delivery: Delivery) -> Outcome:
        """One attempt."""

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """What belongs to the outcome, in the transaction that writes it."""
