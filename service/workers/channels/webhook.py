"""The webhook channel: each event to each webhook of its account that wants it, by signed POSTs."""

import os
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.errors import WebhookNotFound
from service.domain.events import Event
from service.domain.message import uuid7
from service.domain.webhook import Attempt, DisableReason, WebhookResponse
from service.logs import get_logger
from service.postgres import webhooks as rows
from service.postgres.pool import Connection, Database
from service.usecases.webhook_sender import WebhookSender
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Target

log = get_logger(__name__)

_GONE = 410
# What reading the webhook may take, beside the request itself.
_MARGIN_S = 10.0


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be noted of an attempt."""

    at: datetime
    answer: WebhookResponse


class Accepted(Done, frozen=True, kw_only=True):
    """The target has taken it."""

    tried: AttemptRecord


class Rejected(Failed, frozen=True, kw_only=True):
    """The target has not taken it, for whichever reason, and that counts against it."""

    tried: AttemptRecord


class WebhookChannel:
    """The target of a delivery is the webhook's id."""

    name = "webhook"
    events: tuple[str, ...] = ()
    per_target = 4

    def __init__(self, database: Database, posts: WebhookSender, *, concurrency: int) -> None:
        self.timeout_s = posts.outbound_http.limits.timeout_s + _MARGIN_S
        self.concurrency = concurrency
        self._database = database
        self._posts = posts

    def handles(self, event: Event) -> bool:
        """Whoever subscribed to it does: that is looked up when it is dealt out."""
        return bool(event.type)

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        found = await rows.subscribed(connection, event.account_id, event.type)
        return [Target(name=webhook_id.hex) for webhook_id in found]

    async def deliver(self, delivery: Delivery) -> Outcome:
        """To the webhook as it is now: another address counts for what waits, too."""
        try:
            async with self._database.connection() as connection:
                to = await rows.get_webhook(connection, delivery.account_id, _id_of(delivery))
        except WebhookNotFound:
            return Ignored("the webhook is deleted")
        if not to.webhook.enabled:
            return Ignored("the webhook is disabled")
        at = self._posts.clock()
        answer = await self._posts.post(to, delivery.event, delivery.key.hex)
        tried = AttemptRecord(at=at, answer=answer)
        if answer.error is None:
            return Accepted(tried=tried)
        return Rejected(
            error=answer.error,
            permanent=answer.response_code == _GONE,
            retry_after_s=answer.retry_after_s,
            tried=tried,
        )

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Notes the attempt, and what it means for the webhook. Our own faults count for nothing.

        Rows are locked in one order, this delivery's before the webhook's, by everybody.
        """
        if not isinstance(outcome, (Accepted, Rejected)):
            return
        webhook_id = _id_of(delivery)
        attempt = self._attempt_of(delivery, outcome.tried)
        await rows.insert_attempt(connection, delivery.account_id, webhook_id, attempt)
        if isinstance(outcome, Accepted):
            await rows.forget_failures(connection, delivery.account_id, webhook_id)
            return
        reason = DisableReason.GONE if outcome.permanent else None
        enabled, because = await rows.note_failure(
            connection, delivery.account_id, webhook_id, reason
        )
        if enabled:
            return
        dropped = await rows.drop_waiting(connection, delivery.account_id, webhook_id)
        if because is not None:
            log.warning(
                "A webhook is disabled; what waited for it is dropped.",
                account_id=delivery.account_id.hex,
                webhook_id=webhook_id.hex,
                reason=because.value,
                deliveries=dropped,
            )

    def _attempt_of(self, delivery: Delivery, tried: AttemptRecord) -> Attempt:
        return Attempt(
            attempt_id=uuid7(self._posts.clock(), os.urandom(10)),
            event_id=delivery.event_id,
            event_type=delivery.event.type,
            number=delivery.attempt,
            attempted_at=tried.at,
            response=tried.answer,
        )


def _id_of(delivery: Delivery) -> UUID:
    return UUID(hex=delivery.target)
