"""Callback channel: requests calls while a box has new messages.

A task is one row. Its target is the box and the number. Each request postpones it to the next one.
"""

import re
from collections.abc import Sequence

from service.domain.callback import DEFAULT_NUMBERS, CallbackPlan
from service.domain.errors import VmboxNotFound
from service.domain.events import Event, EventType
from service.domain.vmbox import Vmbox
from service.postgres.callbacks import is_callback_pending, request_callback
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import get_vmbox, lock_vmbox
from service.workers.channels import Delivery, Done, Ignored, Outcome, Postponed, Target
from service.workers.channels.message_new import decode_message_new, is_new_voicemail


class CallbackChannel:
    """Appends events for the service that makes the calls."""

    name = "callback"
    events: tuple[str, ...] = (EventType.MESSAGE_NEW.value,)
    timeout_s = 15.0
    concurrency = 8
    per_target = 1

    def __init__(self, database: Database, numbers: re.Pattern[str] = DEFAULT_NUMBERS) -> None:
        self._database = database
        self._numbers = numbers

    def handles(self, event: Event) -> bool:
        return is_new_voicemail(event)

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """Returns one task, or none if a task runs for that number and box."""
        # Serializes concurrent messages, so that the second one sees the task of the first.
        await lock_vmbox(connection, event.account_id, event.vmbox_id)
        try:
            box = (await get_vmbox(connection, event.account_id, event.vmbox_id)).vmbox
        except VmboxNotFound:
            return []
        plan = CallbackPlan.of(box.document, self._numbers)
        if plan is None or not box.counts.new:
            return []
        name = _target(box, plan)
        if await is_callback_pending(connection, event.account_id, name):
            return []
        state = {"attempt": 1, "waits_s": plan.waits_s}
        return [Target(name=name, delay_s=plan.waits_s[0], state=state)]

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Schedules the next request. `settle` makes the current one."""
        async with self._database.connection() as connection:
            plan = await _read_plan(connection, delivery, self._numbers)
        if isinstance(plan, str):
            return Ignored(plan)
        attempt, waits_s = delivery.state["attempt"], delivery.state["waits_s"]
        if attempt >= len(waits_s):
            return Done()
        state = {"attempt": attempt + 1, "waits_s": waits_s}
        return Postponed(delay_s=waits_s[attempt], state=state)

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Appends the request, unless the box has no new messages any more."""
        if not isinstance(outcome, Done | Postponed):
            return
        await lock_vmbox(connection, delivery.account_id, delivery.event.vmbox_id)
        plan = await _read_plan(connection, delivery, self._numbers)
        if isinstance(plan, str):
            return
        await request_callback(
            connection,
            delivery.account_id,
            delivery.event.vmbox_id,
            number=plan.number,
            attempt=delivery.state["attempt"],
            timeout_s=plan.timeout_s,
            message=decode_message_new(delivery.event).message,
        )


async def _read_plan(
    connection: Connection, delivery: Delivery, numbers: re.Pattern[str]
) -> CallbackPlan | str:
    """Returns the current plan, or the reason why the task ends."""
    try:
        stored = await get_vmbox(connection, delivery.account_id, delivery.event.vmbox_id)
    except VmboxNotFound:
        return "the box was deleted"
    plan = CallbackPlan.of(stored.vmbox.document, numbers)
    if plan is None or _target(stored.vmbox, plan) != delivery.target:
        return "the box has no callback to this number any more"
    return plan if stored.vmbox.counts.new else "the box has no new message any more"


def _target(box: Vmbox, plan: CallbackPlan) -> str:
    return f"{box.vmbox_id.hex} {plan.number}"
