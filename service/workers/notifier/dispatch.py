"""Delivery of due rows: lease, deliver, write the outcome, release the rest on a stop."""

import asyncio
import time
from typing import TYPE_CHECKING, assert_never
from uuid import UUID, uuid4

from service.domain.delivery import Status
from service.domain.errors import Unavailable, VoicemailError
from service.domain.move import AccountReadOnly
from service.logs import get_logger
from service.metrics import DELIVERIES, DELIVERY_DURATION, UNEXPECTED_ERRORS
from service.postgres import deliveries as rows
from service.postgres.deliveries import AttemptOutcome, DeliveryRow
from service.postgres.pool import Database
from service.traces import consumer_span, mark_failed
from service.workers.channels import Channel, Delivery, Done, Failed, Ignored, Outcome, Postponed
from service.workers.notifier.fan_out import FanOut, event_attributes, is_marker
from service.workers.notifier.slots import DeliverySlots
from service.workers.notifier.timings import NotifierTimings
from service.workers.waiting import wait_for

if TYPE_CHECKING:
    from service.traces import Span

log = get_logger(__name__)

_WRITE_RETRY_S = 0.5
_FAULT_PAUSE_S = 1.0
_RESULTS = ("done", "ignored", "retry", "later", "dead")

Row = Delivery | DeliveryRow


class Dispatcher:
    """Delivers the due rows of a channel in parallel. `rows_added` wakes it up."""

    def __init__(
        self,
        database: Database,
        channel: Channel,
        fan_out: FanOut,
        rows_added: asyncio.Event,
        timings: NotifierTimings,
    ) -> None:
        self._database = database
        self._channel = channel
        self._fan_out = fan_out
        self._rows_added = rows_added
        self._timings = timings
        self._lease_s = channel.timeout_s + timings.lease_margin_s
        self._slots = DeliverySlots(channel.concurrency, channel.per_target)
        self._tasks: dict[asyncio.Task[None], tuple[Row, UUID]] = {}
        for result in _RESULTS:
            DELIVERIES.labels(channel.name, result)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, then completes deliveries within `grace_s` or releases them."""
        try:
            await self._poll(stop)
            await self._drain()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _poll(self, stop: asyncio.Event) -> None:
        last_error = ""
        while not stop.is_set():
            self._rows_added.clear()
            try:
                is_busy = await self._start_due()
            except Unavailable as error:
                if last_error != (last_error := error.reason):
                    log.warning("reading due deliveries failed", reason=last_error)
                is_busy = False
            except Exception as error:
                # An error of the database, or a defect. The notifier must not end.
                UNEXPECTED_ERRORS.inc()
                if last_error != (last_error := repr(error)):
                    log.exception("reading due deliveries raised unexpected error")
                await wait_for(stop, _FAULT_PAUSE_S)
                is_busy = False
            else:
                last_error = ""
            if not (is_busy and self._slots.free) and not stop.is_set():
                await wait_for(self._rows_added, self._timings.poll_s)

    async def _start_due(self) -> bool:
        """Starts due deliveries in the free slots. Returns True if there were any."""
        started = await self._lease_and_start(self._slots.free, suspects=False)
        started += await self._lease_and_start(self._slots.free_for_suspects(), suspects=True)
        return started > 0

    async def _lease_and_start(self, limit: int, *, suspects: bool) -> int:
        if limit <= 0:
            return 0
        token = uuid4()
        async with self._database.connection() as connection:
            due = await rows.lease_due(
                connection,
                self._channel.name,
                limit=limit,
                per_target=self._channel.per_target,
                lease_s=self._lease_s,
                token=token,
                leases=self._slots.list_leases(suspects=suspects),
            )
        for row in due:
            self._slots.acquire(row)
            task = asyncio.create_task(self._process(row, token))
            self._tasks[task] = (row, token)
            task.add_done_callback(self._on_done)
        return len(due)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        row, _ = self._tasks.pop(task)
        self._slots.release(row)
        self._rows_added.set()

    async def _drain(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timings.grace_s)
        unfinished = dict(self._tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        for row, token in unfinished.values():
            try:
                async with self._database.connection() as connection:
                    await rows.release_lease(connection, row, token)
            except Unavailable:
                return  # the leases expire

    async def _process(self, row: Row, token: UUID) -> None:
        if not isinstance(row, Delivery):
            await self._deliver_and_write(row, token, None)
            return
        event, name = row.event, self._channel.name
        with consumer_span(
            f"deliver {name}", event_attributes(event, name), event.traceparent
        ) as span:
            await self._deliver_and_write(row, token, span)

    async def _deliver_and_write(self, row: Row, token: UUID, span: "Span | None") -> None:
        started = time.monotonic()
        deadline = started + self._lease_s
        outcome = await self._attempt(row)
        if span is not None and isinstance(outcome, Failed):
            mark_failed(span, "failed")
        DELIVERY_DURATION.labels(self._channel.name).observe(time.monotonic() - started)
        self._slots.record_outcome(row, failed=isinstance(outcome, Failed))
        settles = isinstance(row, Delivery) and not is_marker(row)
        while True:
            try:
                await self._write(row, token, outcome, settles=settles)
            except AccountReadOnly:
                # The account has moved meanwhile: nothing of it can be changed here any more.
                if not settles:
                    return
                settles = False
            except Unavailable:
                if time.monotonic() > deadline:
                    return
                await asyncio.sleep(_WRITE_RETRY_S)
            except Exception as error:
                # The attempt counts as failed. A failure is then written without `settle`,
                # because otherwise the row would be retried forever.
                log.exception("settling delivery failed", **_ids(row))
                if not settles:
                    return
                settles = not isinstance(outcome, Failed)
                outcome = Failed(error=f"settling failed: {type(error).__name__}")
            else:
                return

    async def _attempt(self, row: Row) -> Outcome:
        try:
            async with asyncio.timeout(self._channel.timeout_s):
                if is_marker(row):
                    return await self._fan_out.fan_out_marker(row)
                if not isinstance(row, Delivery):
                    return Failed(error="the row has no event", permanent=True)
                return await self._channel.deliver(row)
        except TimeoutError:
            return Failed(error=f"not delivered within {self._channel.timeout_s:g} s")
        except VoicemailError as error:
            reason = getattr(error, "reason", "")
            return Failed(error=f"{error}{f' ({reason})' if reason else ''}")
        except Exception as error:
            # A defect of the channel is a failed attempt; it must not stop other deliveries.
            log.exception("delivery raised unexpected error", **_ids(row))
            return Failed(error=f"unexpected error: {type(error).__name__}")

    async def _write(self, row: Row, token: UUID, outcome: Outcome, *, settles: bool) -> None:
        written = self._row_update(row, outcome)
        async with self._database.transaction() as transaction:
            if not await rows.record_attempt(transaction, row, token, written):
                return
            if settles and isinstance(row, Delivery):
                await self._channel.settle(transaction, row, outcome)
        DELIVERIES.labels(self._channel.name, _metric_label(written, outcome)).inc()
        if written.status is Status.DEAD:
            log.error("delivery dead", attempts=row.attempt, **_ids(row))

    def _row_update(self, row: Row, outcome: Outcome) -> AttemptOutcome:
        match outcome:
            case Done():
                status = Status.FANNED_OUT if is_marker(row) else Status.DONE
                return AttemptOutcome(status=status, attempts=1)
            case Ignored(reason):
                return AttemptOutcome(status=Status.IGNORED, attempts=1, error=reason)
            case Postponed(delay_s=delay_s, state=state):
                return AttemptOutcome(status=Status.PENDING, delay_s=delay_s, state=state)
            case Failed(error=error):
                retry_s = self._retry_delay_s(row, outcome)
                status = Status.DEAD if retry_s is None else Status.PENDING
                return AttemptOutcome(status=status, attempts=1, delay_s=retry_s or 0, error=error)
            case _:
                assert_never(outcome)

    def _retry_delay_s(self, row: Row, failure: Failed) -> float | None:
        """Returns None if there is no further attempt."""
        if failure.permanent or not 1 <= row.attempt <= len(self._timings.retries_s):
            return None
        return max(self._timings.retries_s[row.attempt - 1], failure.retry_after_s)


def _metric_label(written: AttemptOutcome, outcome: Outcome) -> str:
    """Returns the label for the metric."""
    match written.status:
        case Status.PENDING:
            return "retry" if isinstance(outcome, Failed) else "later"
        case Status.FANNED_OUT:
            return "done"
        case final:
            return final.value


def _ids(row: Row) -> dict[str, str]:
    return {
        "channel": row.channel,
        "account_id": row.account_id.hex,
        "event_id": str(row.event_id),
    }
