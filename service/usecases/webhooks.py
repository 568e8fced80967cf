"""Use cases of webhooks: create, read, list, change, delete, test, list attempts."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import msgspec

from service.domain.account import NO_QUOTAS, AccountFacts, Quota, Quotas
from service.domain.errors import Invalid, Problem, Rule, TooManyPings
from service.domain.events import NO_VMBOX, Event
from service.domain.message import uuid7
from service.domain.notification_hooks import ping_notification
from service.domain.page import NameCursor, Page
from service.domain.schema import Document, merge
from service.domain.webhook import (
    MAX_WEBHOOKS,
    PING,
    SECRET_BYTES,
    WEB_ADDRESS,
    Attempt,
    Webhook,
    validate_webhook,
)
from service.postgres import accounts as account_rows
from service.postgres import webhooks as rows
from service.postgres.pool import Database
from service.security import TargetForbidden
from service.usecases.optimistic_update import retry_on_conflict
from service.usecases.pages import read_documents, read_page
from service.usecases.slots import SharedSlots
from service.usecases.webhook_sender import WebhookSender

_MAX_PINGS = 32
_MAX_PINGS_OF_ACCOUNT = 8


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """Use cases of webhooks. Only `create` returns the signing secret."""

    database: Database
    sender: WebhookSender
    quotas: Quotas = NO_QUOTAS
    pings: SharedSlots = field(
        default_factory=lambda: SharedSlots(_MAX_PINGS, _MAX_PINGS_OF_ACCOUNT, TooManyPings)
    )

    async def create(self, account: AccountFacts, document: Document) -> tuple[Webhook, str]:
        """Creates a webhook; returns it with its secret.

        Raises Invalid with all problems, TooManyWebhooks, DnsUnavailable.
        """
        checked = await self._validate(account.account_id, document)
        webhook_id = uuid7(self.sender.clock())
        secret, sealed = self.sender.new_secret(
            account.account_id, webhook_id, os.urandom(SECRET_BYTES)
        )
        most = self.quotas.most_of(account, Quota.WEBHOOKS, MAX_WEBHOOKS)
        async with self.database.transaction() as connection:
            await account_rows.lock_account_for_share(connection, account.account_id)
            webhook = await rows.insert_webhook(
                connection, account.account_id, webhook_id, checked, sealed, most
            )
        return webhook, secret

    async def get(self, account: AccountFacts, webhook_id: UUID) -> Webhook:
        """Returns a webhook. Raises WebhookNotFound."""
        async with self.database.connection() as connection:
            return (await rows.get_webhook(connection, account.account_id, webhook_id)).webhook

    async def list(
        self,
        account: AccountFacts,
        start: NameCursor | None,
        limit: int,
        *,
        descending: bool = False,
        predicate: Callable[[Webhook], bool] | None = None,
        keys: Collection[str] | None = None,
    ) -> Page[Webhook, NameCursor]:
        """Returns a page of webhooks by name."""

        async def read(start: NameCursor | None, limit: int) -> list[Webhook]:
            async with self.database.connection() as connection:
                return await rows.list_webhooks(
                    connection, account.account_id, start, limit, descending=descending
                )

        return await read_documents(read, _cursor_of, start, limit, predicate, keys)

    async def replace(self, account: AccountFacts, webhook_id: UUID, document: Document) -> Webhook:
        """Replaces the document of a webhook and keeps its secret. Raises as `patch`."""
        return await self._change(account, webhook_id, lambda _: document)

    async def patch(self, account: AccountFacts, webhook_id: UUID, changes: Document) -> Webhook:
        """Merges changes into a webhook; null deletes a key. Disabling drops pending deliveries.

        Raises WebhookNotFound, Invalid, EditConflict, DnsUnavailable.
        """
        return await self._change(account, webhook_id, lambda document: merge(document, changes))

    async def enable_disabled(self, account: AccountFacts) -> None:
        """Enables the webhooks of an account that the service disabled."""
        async with self.database.transaction() as connection:
            await rows.enable_disabled_webhooks(connection, account.account_id)

    async def delete(self, account: AccountFacts, webhook_id: UUID) -> Webhook:
        """Deletes a webhook and its pending deliveries; returns its last state.

        Raises WebhookNotFound.
        """
        async with self.database.transaction() as connection:
            webhook = await rows.delete_webhook(connection, account.account_id, webhook_id)
            await rows.drop_pending(connection, account.account_id, webhook_id)
        return webhook

    async def attempts(
        self,
        account: AccountFacts,
        webhook_id: UUID | None,
        start: UUID | None,
        limit: int,
        *,
        ascending: bool = False,
        predicate: Callable[[Attempt], bool] | None = None,
    ) -> Page[Attempt, UUID]:
        """Returns a page of attempts of a webhook, or of all of the account, the latest first.

        Raises WebhookNotFound.
        """
        if webhook_id is not None:
            await self.get(account, webhook_id)

        async def read(start: UUID | None, limit: int) -> list[Attempt]:
            async with self.database.connection() as connection:
                if webhook_id is None:
                    return await rows.list_account_attempts(
                        connection, account.account_id, start, limit, ascending=ascending
                    )
                return await rows.list_attempts(
                    connection, account.account_id, webhook_id, start, limit, ascending=ascending
                )

        return await read_page(read, lambda attempt: attempt.attempt_id, start, limit, predicate)

    async def ping(self, account: AccountFacts, webhook_id: UUID) -> Attempt:
        """Sends a test event to a webhook, also to a disabled one; failures are not counted.

        Raises WebhookNotFound, TooManyPings.
        """
        with self.pings.hold(account.account_id):
            async with self.database.connection() as connection:
                sealed = await rows.get_webhook(connection, account.account_id, webhook_id)
            event = self._ping_event(sealed.webhook)
            is_flat = sealed.webhook.sends_notifications
            notification = ping_notification(event, webhook_id) if is_flat else None
            response = await self.sender.post(sealed, event, event.event_id.hex, notification)
        attempt = Attempt(
            webhook_id=webhook_id,
            attempt_id=uuid7(self.sender.clock()),
            event_id=event.event_id,
            event_type=event.type,
            number=1,
            attempted_at=event.created_at,
            response=response,
        )
        async with self.database.connection() as connection:
            await rows.insert_attempt(connection, account.account_id, attempt)
        return attempt

    def _ping_event(self, webhook: Webhook) -> Event:
        account_id, webhook_id = webhook.account_id, webhook.webhook_id
        return Event(
            account_id=account_id,
            vmbox_id=NO_VMBOX,
            sequence=0,
            event_id=uuid4(),
            type=PING,
            created_at=self.sender.clock(),
            data=msgspec.json.encode({"account_id": account_id.hex, "webhook_id": webhook_id.hex}),
        )

    async def _change(
        self, account: AccountFacts, webhook_id: UUID, change: Callable[[Document], Document]
    ) -> Webhook:
        async def attempt() -> Webhook | None:
            before = await self.get(account, webhook_id)
            checked = await self._validate(before.account_id, change(before.document), before)
            async with self.database.transaction() as connection:
                webhook = await rows.update_webhook(connection, before, checked)
                if webhook is not None and not webhook.enabled:
                    await rows.drop_pending(connection, account.account_id, webhook_id)
            return webhook

        return await retry_on_conflict(attempt)

    async def _validate(
        self, account_id: UUID, document: Document, before: Webhook | None = None
    ) -> Document:
        checked, problems = validate_webhook(document)
        uri = checked.get("uri")
        is_valid = all(problem.field != "uri" for problem in problems)
        if is_valid and isinstance(uri, str) and (before is None or before.uri != uri):
            problems += await self._check_target(account_id, uri)
        if problems:
            raise Invalid(problems)
        return checked

    async def _check_target(self, account_id: UUID, uri: str) -> Sequence[Problem]:
        try:
            await self.sender.outbound_http.check(uri, account_id)
        except TargetForbidden as error:
            rule = Rule.FORBIDDEN_TARGET
            return [Problem(field="uri", rule=rule, value=uri, message=f"{error}.")]
        except ValueError:
            rule = Rule.WRONG_FORMAT
            return [Problem(field="uri", rule=rule, target=WEB_ADDRESS.name, value=uri)]
        return []


def _cursor_of(webhook: Webhook) -> NameCursor:
    return NameCursor(webhook.name, webhook.webhook_id)
