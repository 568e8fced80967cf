"""Detection of lost events: the stream is new, or it has fewer events than it acknowledged."""

import time
from collections.abc import Iterable

import msgspec

from service.bus import Ack, Bus, StreamState
from service.logs import get_logger
from service.metrics import REPUBLICATIONS
from service.postgres import outbox
from service.postgres.outbox import OutboxBatch, RelayState
from service.postgres.pool import Database
from service.workers.relay.settings import RelaySettings

log = get_logger(__name__)


class SequenceReuse(msgspec.Struct, frozen=True, kw_only=True):
    """Lowest sequence that was reused, and the number of losses that were known before."""

    lowest: int
    losses: int


class StreamCheck:
    """Compares the stream with what the relays have recorded about it.

    All relays record in one row. The number of losses in it orders their findings: only one relay
    handles a loss, and acknowledgements from before it are void.
    """

    def __init__(self, database: Database, bus: Bus, settings: RelaySettings) -> None:
        self._database = database
        self._bus = bus
        self._settings = settings
        self._checked_connection = 0
        self._check_at = 0.0
        self._reuse: SequenceReuse | None = None

    @property
    def is_due(self) -> bool:
        return self.is_new_connection or time.monotonic() >= self._check_at

    @property
    def is_new_connection(self) -> bool:
        return self._checked_connection != self._bus.connections

    def check_soon(self) -> None:
        self._check_at = 0.0

    def detect_reuse(self, batch: OutboxBatch, acks: Iterable[Ack]) -> bool:
        """Returns True if new events got sequences that the stream had acknowledged before.

        The next check then schedules a republication.
        """
        new = [ack.stream_seq for ack in acks if not ack.duplicate]
        lowest = min(new, default=batch.stream_seq + 1)
        if lowest > batch.stream_seq:
            return False
        self._reuse = SequenceReuse(lowest=lowest, losses=batch.stream_losses)
        self.check_soon()
        return True

    async def check(self) -> bool:
        """Creates the stream if necessary. Returns True if it has lost events.

        They are scheduled for republication.
        """
        connection = self._bus.connections
        # Read before the stream: it must have everything that was recorded at that time.
        async with self._database.connection() as database:
            recorded = await outbox.read_relay_state(database)
        stream = await self._bus.declare()
        lost_from = self._first_lost_sequence(recorded, stream)
        if lost_from is not None:
            await self._schedule_republication(recorded, stream, lost_from)
        elif recorded.stream_created_at is None:
            async with self._database.connection() as database:
                await outbox.record_stream(database, stream.created_at)
        self._reuse = None
        self._checked_connection = connection
        self._check_at = time.monotonic() + self._settings.check_stream_every_s
        return lost_from is not None

    def _first_lost_sequence(self, recorded: RelayState, stream: StreamState) -> int | None:
        if recorded.stream_created_at not in (None, stream.created_at):
            return 1
        ends = []
        if stream.last_seq < recorded.stream_seq:
            ends.append(stream.last_seq + 1)
        if self._reuse is not None and self._reuse.losses == recorded.stream_losses:
            ends.append(self._reuse.lowest)
        if not ends:
            return None
        # Publications in flight may have reused the first of the lost sequences. Each relay has at
        # most one batch in flight, and there are no more relays at work than shards.
        owners = max(recorded.shards, self._settings.shards)
        return max(1, min(ends) - owners * self._settings.batch_rows)

    async def _schedule_republication(
        self, recorded: RelayState, stream: StreamState, lost_from: int
    ) -> None:
        async with self._database.transaction() as transaction:
            is_first = await outbox.record_loss(
                transaction,
                stream.created_at,
                stream_seq=min(recorded.stream_seq, stream.last_seq, lost_from),
                losses=recorded.stream_losses,
            )
            if not is_first:
                return  # another relay has handled it
            count = await outbox.mark_unsent_from(transaction, lost_from)
        REPUBLICATIONS.inc()
        log.warning("stream lost events, republication scheduled", from_seq=lost_from, events=count)
