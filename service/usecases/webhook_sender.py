"""Telling a webhook of an event, once: what a test and the notifier both do."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.events import Event
from service.domain.webhook import SealedWebhook, WebhookResponse, body_of, headers_of, secret_of
from service.security import OutboundHttp, SecretBox


@dataclass(frozen=True, kw_only=True)
class WebhookSender:
    """Signed POSTs, and the secrets that sign them. `clock` gives aware UTC."""

    secrets: SecretBox
    outbound_http: OutboundHttp
    clock: Callable[[], datetime]

    def new_secret(self, account_id: UUID, webhook_id: UUID, random: bytes) -> tuple[str, bytes]:
        """A secret, and the same sealed."""
        secret = secret_of(random)
        return secret, self.secrets.seal(secret, _context(account_id, webhook_id))

    async def post(self, to: SealedWebhook, event: Event, message_id: str) -> WebhookResponse:
        """One attempt. Raises SecretUnreadable; what the other side does is in the answer."""
        webhook = to.webhook
        secret = self.secrets.open(to.secret, _context(webhook.account_id, webhook.webhook_id))
        body = body_of(event, webhook.document.get("custom_data", {}))
        headers = headers_of(secret, message_id, self.clock(), body)
        return await self.outbound_http.post(webhook.uri, headers, body)


def _context(account_id: UUID, webhook_id: UUID) -> bytes:
    return b"webhook:" + account_id.bytes + webhook_id.bytes
