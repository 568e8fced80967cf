"""Webhook channel: sends each event to the subscribed webhooks of its account by signed POSTs."""

from collections.abc import Sequence
from uuid import UUID

from service.domain.errors import WebhookNotFound
from service.domain.events import Event
from service.domain.message import uuid7
from service.domain.webhook import Attempt, DisableReason
from service.logs import get_logger
from service.postgres import webhooks as rows
from service.postgres.pool import Connection, Database
from service.usecases.webhook_sender import WebhookSender
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Target

log = get_logger(__name__)

_GONE = 410
# Time for reading the webhook, in addition to the request.
_MARGIN_S = 10.0


class Accepted(Done, frozen=True, kw_only=True):
    """The target has accepted the event."""

    attempt: Attempt


class Rejected(Failed, frozen=True, kw_only=True):
    """The target did not accept the event. Counts towards disabling the webhook."""

    attempt: Attempt


class WebhookChannel:
    """The target of a delivery is the ID of the webhook."""

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
        webhook_ids = await rows.list_subscribed_webhooks(connection, event.account_id, event.type)
        return [Target(name=webhook_id.hex) for webhook_id in webhook_ids]

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Sends to the current address of the webhook, also for events from before a change."""
        try:
            async with self._database.connection() as connection:
                webhook = await rows.get_webhook(connection, delivery.account_id, _id_of(delivery))
        except WebhookNotFound:
            return Ignored("the webhook was deleted")
        if not webhook.webhook.enabled:
            return Ignored("the webhook is disabled")
        attempted_at = self._sender.clock()
        response = await self._sender.post(webhook, delivery.event, delivery.key.hex)
        attempt = Attempt(
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
        await rows.insert_attempt(connection, delivery.account_id, webhook_id, outcome.attempt)
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
    return UUID(hex=delivery.target)
