"""Sender of webhooks: one signed POST of an event."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.events import Event
from service.domain.notification_hooks import Payload
from service.domain.sealed_secret import SecretPurpose
from service.domain.webhook import (
    SealedWebhook,
    WebhookResponse,
    encode_cloudevent_request,
    encode_notification_request,
    format_secret,
    sign_request,
)
from service.security import OutboundHttp, SecretBox


@dataclass(frozen=True, kw_only=True)
class WebhookSender:
    """Sends signed POSTs and creates signing secrets. `clock` returns aware UTC."""

    secrets: SecretBox
    outbound_http: OutboundHttp
    clock: Callable[[], datetime]

    def new_secret(self, account_id: UUID, webhook_id: UUID, random: bytes) -> tuple[str, bytes]:
        """Returns a new secret, and its encrypted form."""
        secret = format_secret(random)
        return secret, self.secrets.seal(secret, _context(account_id, webhook_id))

    async def post(
        self,
        sealed: SealedWebhook,
        event: Event,
        message_id: str,
        notification: Payload | None = None,
    ) -> WebhookResponse:
        """Sends an event once, as a notification or as a CloudEvent.

        Raises SecretUnreadable; failures of the receiver are returned.
        """
        webhook = sealed.webhook
        secret = self.secrets.open(sealed.secret, _context(webhook.account_id, webhook.webhook_id))
        if notification is None:
            headers, body = encode_cloudevent_request(webhook, event)
        else:
            headers, body = encode_notification_request(webhook, notification)
        headers |= sign_request(secret, message_id, self.clock(), body)
        return await self.outbound_http.post(webhook.uri, headers, body, webhook.account_id)


def _context(account_id: UUID, webhook_id: UUID) -> bytes:
    return SecretPurpose.WEBHOOK.context(account_id, webhook_id)
