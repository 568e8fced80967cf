"""Workers over due rows: take under a lease, deliver, write the outcome, give the rest back."""

import asyncio
import time
from typing import TYPE_CHECKING, assert_never
from uuid import UUID, uuid4

from service.domain.delivery import Status
from service.domain.errors import Unavailable, VoicemailError
from service.logs import get_logger
from service.metrics import DELIVERIES, DELIVERY_DURATION
from service.postgres import deliveries as rows
from service.postgres.deliveries import DeliveryRow, Written
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

_WRITE_AGAIN_S = 0.5
_RESULTS = ("done", "ignored", "retry", "later", "dead")

Row = Delivery | DeliveryRow


class Dispatch:
    """Delivers a channel's due rows, several at a time; `fresh` says that there are new ones."""

    def __init__(
        self,
        database: Database,
        channel: Channel,
        fan_out: FanOut,
        fresh: asyncio.Event,
        pace: NotifierTimings,
    ) -> None:
        self._database = database
        self._channel = channel
        self._fan_out = fan_out
        self._fresh = fresh
        self._pace = pace
        self._lease_s = channel.timeout_s + pace.lease_margin_s
        self._hands = DeliverySlots(channel.concurrency, channel.per_target)
        self._tasks: dict[asyncio.Task[None], tuple[Row, UUID]] = {}
        for result in _RESULTS:
            DELIVERIES.labels(channel.name, result)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set: what is in hand is finished within the grace, or given back."""
        try:
            await self._keep_taking(stop)
            await self._finish()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_taking(self, stop: asyncio.Event) -> None:
        trouble = ""
        while not stop.is_set():
            self._fresh.clear()
            try:
                taken = await self._take()
            except Unavailable as error:
                if trouble != (trouble := error.reason):
                    log.warning("The channel cannot look for deliveries.", reason=trouble)
                taken = False
            else:
                trouble = ""
            if not (taken and self._hands.free) and not stop.is_set():
                await wait_for(self._fresh, self._pace.poll_s)

    async def _take(self) -> bool:
        """Begins what is due, as far as there is room; whether there was anything."""
        found = await self._due(self._hands.free, suspects=False)
        found += await self._due(self._hands.room_for_suspects(), suspects=True)
        return found > 0

    async def _due(self, limit: int, *, suspects: bool) -> int:
        if limit <= 0:
            return 0
        token = uuid4()
        async with self._database.connection() as connection:
            due = await rows.take_due(
                connection,
                self._channel.name,
                limit=limit,
                per_target=self._channel.per_target,
                lease_s=self._lease_s,
                token=token,
                held=self._hands.held(suspects=suspects),
            )
        for row in due:
            self._hands.take(row)
            task = asyncio.create_task(self._work(row, token))
            self._tasks[task] = (row, token)
            task.add_done_callback(self._forget)
        return len(due)

    def _forget(self, task: asyncio.Task[None]) -> None:
        row, _ = self._tasks.pop(task)
        self._hands.give_back(row)
        self._fresh.set()

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._pace.grace_s)
        left = dict(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for row, token in left.values():
            try:
                async with self._database.connection() as connection:
                    await rows.release(connection, row, token)
            except Unavailable:
                return  # the leases run out

    async def _work(self, row: Row, token: UUID) -> None:
        if not isinstance(row, Delivery):
            await self._attempt_and_write(row, token, None)
            return
        event, name = row.event, self._channel.name
        with consumer_span(
            f"deliver {name}", event_attributes(event, name), event.traceparent
        ) as span:
            await self._attempt_and_write(row, token, span)

    async def _attempt_and_write(self, row: Row, token: UUID, span: "Span | None") -> None:
        began = time.monotonic()
        give_up = began + self._lease_s
        outcome = await self._attempt(row)
        if span is not None and isinstance(outcome, Failed):
            mark_failed(span, "failed")
        DELIVERY_DURATION.labels(self._channel.name).observe(time.monotonic() - began)
        self._hands.note(row, failed=isinstance(outcome, Failed))
        settles = isinstance(row, Delivery) and not is_marker(row)
        while True:
            try:
                await self._write(row, token, outcome, settles=settles)
            except Unavailable:
                if time.monotonic() > give_up:
                    return
                await asyncio.sleep(_WRITE_AGAIN_S)
            except Exception as error:
                # What belongs to the outcome could not be done: then it has not come about. A
                # failure is written without it, or the row would come again for ever.
                log.exception("An outcome could not be settled.", **_ids(row))
                if not settles:
                    return
                settles = not isinstance(outcome, Failed)
                outcome = Failed(error=f"it could not be settled: {type(error).__name__}")
            else:
                return

    async def _attempt(self, row: Row) -> Outcome:
        try:
            async with asyncio.timeout(self._channel.timeout_s):
                if is_marker(row):
                    return await self._fan_out.again(row)
                if not isinstance(row, Delivery):
                    return Failed(error="it has no event", permanent=True)
                return await self._channel.deliver(row)
        except TimeoutError:
            return Failed(error=f"not done within {self._channel.timeout_s:g} s")
        except VoicemailError as error:
            reason = getattr(error, "reason", "")
            return Failed(error=f"{error}{f' ({reason})' if reason else ''}")
        except Exception as error:
            log.exception("A delivery failed in an unforeseen way.", **_ids(row))
            return Failed(error=f"a fault of the channel: {type(error).__name__}")

    async def _write(self, row: Row, token: UUID, outcome: Outcome, *, settles: bool) -> None:
        written = self._written(row, outcome)
        async with self._database.transaction() as transaction:
            if not await rows.finish(transaction, row, token, written):
                return
            if settles and isinstance(row, Delivery):
                await self._channel.settle(transaction, row, outcome)
        DELIVERIES.labels(self._channel.name, _result(written, outcome)).inc()
        if written.status is Status.DEAD:
            log.error("A delivery is dead.", attempts=row.attempt, **_ids(row))

    def _written(self, row: Row, outcome: Outcome) -> Written:
        match outcome:
            case Done():
                status = Status.FANNED_OUT if is_marker(row) else Status.DONE
                return Written(status=status, attempts=1)
            case Ignored(reason):
                return Written(status=Status.IGNORED, attempts=1, error=reason)
            case Postponed(delay_s=delay_s, state=state):
                return Written(status=Status.PENDING, delay_s=delay_s, state=state)
            case Failed(error=error):
                pause_s = self._wait_before_next(row, outcome)
                status = Status.DEAD if pause_s is None else Status.PENDING
                return Written(status=status, attempts=1, delay_s=pause_s or 0, error=error)
            case _:
                assert_never(outcome)

    def _wait_before_next(self, row: Row, failure: Failed) -> float | None:
        """None when there is no next attempt."""
        if failure.permanent or not 1 <= row.attempt <= len(self._pace.retries_s):
            return None
        return max(self._pace.retries_s[row.attempt - 1], failure.retry_after_s)


def _result(written: Written, outcome: Outcome) -> str:
    """What is counted: as the row says, and of what comes again whether it has failed."""
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
