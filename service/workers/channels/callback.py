"""The callback channel: asks for calls about a new message, as long as the box has one.

A task is one row: its target is the box and the number, each request puts it off to the next.
"""

from collections.abc import Sequence

from service.domain.callback import CallbackPlan
from service.domain.errors import VmboxNotFound
from service.domain.events import Event, EventType, MessageNew, OriginReason, decode_data
from service.domain.message import Folder
from service.domain.vmbox import Vmbox
from service.postgres.callbacks import callback_pending, request_callback
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import get_vmbox, lock_vmbox
from service.workers.channels import Delivery, Done, Ignored, Outcome, Postponed, Target


class CallbackChannel:
    """Requests are events for the service that makes calls; nothing leaves from here."""

    name = "callback"
    events = (EventType.MESSAGE_NEW.value,)
    timeout_s = 15.0
    concurrency = 8
    per_target = 1

    def __init__(self, database: Database) -> None:
        self._database = database

    def handles(self, event: Event) -> bool:
        """Messages that somebody left, not moved, and that are for listening."""
        data = _message_new(event)
        return data.origin.reason is OriginReason.STORED and data.message.folder is Folder.NEW

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """One task, unless one runs for that number and box."""
        # Of two messages that come at once, the second one sees the task of the first.
        await lock_vmbox(connection, event.account_id, event.vmbox_id)
        try:
            box = (await get_vmbox(connection, event.account_id, event.vmbox_id)).vmbox
        except VmboxNotFound:
            return []
        plan = CallbackPlan.of(box.document)
        if plan is None or not box.counts.new:
            return []
        name = _target(box, plan)
        if await callback_pending(connection, event.account_id, name):
            return []
        state = {"attempt": 1, "waits_s": plan.waits_s}
        return [Target(name=name, delay_s=plan.waits_s[0], state=state)]

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Says what comes after the request that is due; `settle` makes it."""
        async with self._database.connection() as connection:
            found = await _wanted(connection, delivery)
        if isinstance(found, str):
            return Ignored(found)
        attempt, waits_s = delivery.state["attempt"], delivery.state["waits_s"]
        if attempt >= len(waits_s):
            return Done()
        state = {"attempt": attempt + 1, "waits_s": waits_s}
        return Postponed(delay_s=waits_s[attempt], state=state)

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Makes the request, in the transaction that says that it was made. Somebody may have
        listened meanwhile: then there is none."""
        if not isinstance(outcome, Done | Postponed):
            return
        await lock_vmbox(connection, delivery.account_id, delivery.event.vmbox_id)
        plan = await _wanted(connection, delivery)
        if isinstance(plan, str):
            return
        await request_callback(
            connection,
            delivery.account_id,
            delivery.event.vmbox_id,
            number=plan.number,
            attempt=delivery.state["attempt"],
            timeout_s=plan.timeout_s,
            message=_message_new(delivery.event).message,
        )


async def _wanted(connection: Connection, delivery: Delivery) -> CallbackPlan | str:
    """What the box wants now, or why it wants no call from this task any more."""
    try:
        stored = await get_vmbox(connection, delivery.account_id, delivery.event.vmbox_id)
    except VmboxNotFound:
        return "the box is gone"
    plan = CallbackPlan.of(stored.vmbox.document)
    if plan is None or _target(stored.vmbox, plan) != delivery.target:
        return "the box wants no call to that number any more"
    return plan if stored.vmbox.counts.new else "the box has no new message any more"


def _target(box: Vmbox, plan: CallbackPlan) -> str:
    return f"{box.vmbox_id.hex} {plan.number}"


def _message_new(event: Event) -> MessageNew:
    data = decode_data(EventType.MESSAGE_NEW, event.data)
    assert isinstance(data, MessageNew)
    return data
