"""Webhook channel: sends each event to the subscribed webhooks of its account by signed POSTs."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from service.domain.errors import VmboxNotFound, WebhookNotFound
from service.domain.events import Event
from service.domain.message import uuid7
from service.domain.notification_hooks import subscriptions_to
from service.domain.webhook import ANY_EVENT, Attempt, DisableReason
from service.logs import get_logger
from service.postgres import webhooks as rows
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import get_vmbox
from service.postgres.webhooks import SAVED_SUFFIX
from service.usecases.webhook_sender import WebhookSender
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Target
from service.workers.channels.email.after_notify import folder_after
from service.workers.channels.notifications import SAVED, notifications_of

log = get_logger(__name__)

_GONE = 410
# Key in the state of a delivery: its name as a notification. A CloudEvent has no state.
_NOTIFICATION = "notification"
_CLOUDEVENT = Target(name="")
# Time for reading the webhook, in addition to the request.
_MARGIN_S = 10.0


class Accepted(Done, frozen=True, kw_only=True):
    """The target has accepted the event."""

    attempt: Attempt


class Rejected(Failed, frozen=True, kw_only=True):
    """The target did not accept the event. Counts towards disabling the webhook."""

    attempt: Attempt


class WebhookChannel:
    """The target of a delivery is the ID of the webhook, for `voicemail_saved` with a suffix."""

    name = "webhook"
    events: tuple[str, ...] = ()
    per_target = 4

    def __init__(self, database: Database, sender: WebhookSender, *, concurrency: int) -> None:
        self.timeout_s = sender.outbound_http.limits.timeout_s + _MARGIN_S
        self.concurrency = concurrency
        self._database = database
        self._sender = sender

    def handles(self, event: Event) -> bool:
        """Returns True for every event. `targets` selects the subscribed webhooks."""
        return bool(event.type)

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        """Selects the webhooks of the event and of its names as a notification.

        A webhook can have two targets: for `voicemail_new` and for `voicemail_saved`.
        """
        hooks: dict[str, list[Target]] = {event.type: [_CLOUDEVENT], ANY_EVENT: [_CLOUDEVENT]}
        for name in notifications_of(event):
            suffix = SAVED_SUFFIX if name == SAVED else ""
            for subscription in subscriptions_to(name):
                target = Target(name=suffix, state={_NOTIFICATION: name})
                hooks.setdefault(subscription, []).append(target)
        subscribed = await rows.list_subscribed_webhooks(connection, event.account_id, list(hooks))
        targets = [
            msgspec.structs.replace(target, name=webhook_id.hex + target.name)
            for webhook_id, hook in subscribed
            for target in hooks[hook]
        ]
        saved = [target for target in targets if target.name.endswith(SAVED_SUFFIX)]
        if saved and await _leaves_new(connection, event):
            return [target for target in targets if target not in saved]
        return targets

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Sends the event to the current address of the webhook, even if it has changed since."""
        try:
            async with self._database.connection() as connection:
                webhook = await rows.get_webhook(connection, delivery.account_id, _id_of(delivery))
        except WebhookNotFound:
            return Ignored("the webhook was deleted")
        if not webhook.webhook.enabled:
            return Ignored("the webhook is disabled")
        name = delivery.state.get(_NOTIFICATION)
        notification = None if name is None else notifications_of(delivery.event)[name]
        attempted_at = self._sender.clock()
        response = await self._sender.post(webhook, delivery.event, delivery.key.hex, notification)
        attempt = Attempt(
            webhook_id=webhook.webhook.webhook_id,
            attempt_id=uuid7(self._sender.clock()),
            event_id=delivery.event_id,
            event_type=delivery.event.type,
            number=delivery.attempt,
            attempted_at=attempted_at,
            response=response,
        )
        if response.error is None:
            return Accepted(attempt=attempt)
        return Rejected(
            error=response.error,
            permanent=response.response_code == _GONE,
            retry_after_s=response.retry_after_s,
            attempt=attempt,
        )

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Records the attempt and counts failures of the target. Internal errors do not count.

        All code locks the row of the delivery before the row of the webhook.
        """
        if not isinstance(outcome, (Accepted, Rejected)):
            return
        webhook_id = _id_of(delivery)
        await rows.insert_attempt(connection, delivery.account_id, outcome.attempt)
        if isinstance(outcome, Accepted):
            await rows.reset_failures(connection, delivery.account_id, webhook_id)
            return
        reason = DisableReason.GONE if outcome.permanent else None
        enabled, disable_reason = await rows.record_failure(
            connection, delivery.account_id, webhook_id, reason
        )
        if enabled:
            return
        dropped = await rows.drop_pending(connection, delivery.account_id, webhook_id)
        if disable_reason is not None:
            log.warning(
                "webhook disabled",
                account_id=delivery.account_id.hex,
                webhook_id=webhook_id.hex,
                reason=disable_reason.value,
                dropped_deliveries=dropped,
            )


def _id_of(delivery: Delivery) -> UUID:
    return UUID(hex=delivery.target.removesuffix(SAVED_SUFFIX))


async def _leaves_new(connection: Connection, event: Event) -> bool:
    """Returns True if the box moves its messages after a notification."""
    try:
        box = await get_vmbox(connection, event.account_id, event.vmbox_id)
    except VmboxNotFound:
        return True
    return folder_after(box.vmbox.document) is not None
