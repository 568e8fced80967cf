"""Audit: actors, their actions, and the results.

The actor is a context variable, as the trace is: the API sets it for each request, and statements
that change data write it into the audit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from service.domain.account import Caller, Method
from service.domain.message import MessageId


class Principal(StrEnum):
    """Kind of an actor. All but the last three are authentication methods of a caller."""

    API_KEY = "api_key"
    NAMED_KEY = "named_key"
    USER = "user"
    OPERATOR = "operator"
    ISSUER = "issuer"
    LINK = "link"
    ANONYMOUS = "anonymous"
    SERVICE = "service"


class Action(StrEnum):
    """Actions without an event. For a change of a mailbox or a message, the action is the type of
    its event.
    """

    ACCOUNT_CREATED = "account.created"
    ACCOUNT_UPDATED = "account.updated"
    ACCOUNT_DELETED = "account.deleted"
    API_KEY_CREATED = "api_key.created"
    API_KEY_RENEWED = "api_key.renewed"
    API_KEY_REVOKED = "api_key.revoked"
    API_KEY_READ = "api_key.read"
    USER_CREATED = "user.created"
    USER_UPDATED = "user.updated"
    USER_PASSWORD_CHANGED = "user.password_changed"  # noqa: S105
    USER_DELETED = "user.deleted"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_UPDATED = "webhook.updated"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_DELETED = "webhook.deleted"
    GREETING_CREATED = "greeting.created"
    GREETING_UPDATED = "greeting.updated"
    GREETING_AUDIO_REPLACED = "greeting.audio_replaced"
    GREETING_DELETED = "greeting.deleted"
    GREETING_AUDIO_READ = "greeting.audio_read"
    HOLD_CREATED = "hold.created"
    HOLD_READ = "hold.read"
    HOLD_EXPORTED = "hold.exported"
    HOLD_RELEASED = "hold.released"
    DELIVERIES_RETRIED = "deliveries.retried"
    ERASURE_CREATED = "erasure.created"
    ERASURE_FINISHED = "erasure.finished"
    EXPORT_STARTED = "export.started"
    EXPORT_READ = "export.read"
    TOKEN_ISSUED = "token.issued"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    SIGN_IN = "sign_in"
    SIGN_IN_LOCKED = "sign_in.locked"
    REQUEST = "request"
    MESSAGE_PURGED = "message.purged"
    VMBOX_PURGED = "vmbox.purged"
    AUDIO_READ = "message.audio_read"
    WAVEFORM_READ = "message.waveform_read"
    LINK_CREATED = "message.link_created"
    PIN_READ = "vmbox.pin_read"
    KEY_RETIRED = "key.retired"
    SECRETS_RESEALED = "secrets.resealed"


class Result(StrEnum):
    """Result of an action. A change that failed has no record."""

    SUCCESS = "success"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"


class Actor(msgspec.Struct, kw_only=True):
    """Principal of the current work; `identify` sets it once the caller is known.

    `account_id` is the account of the principal. `principal_id` is the id of the user; if there is
    no user, the id of the account. `credential_id` is the id of the named API key or of the token.
    A recording link has the account and the user of its signer.
    """

    principal: Principal
    account_id: UUID | None = None
    principal_id: UUID | None = None
    credential_id: UUID | None = None
    peer: str | None = None
    request_id: str | None = None

    def identify(self, caller: Caller) -> None:
        """Sets the principal to an authenticated caller."""
        claims, account_id = caller.claims, caller.account.account_id
        self.principal = Principal(claims.method if claims else Method.OPERATOR)
        self.account_id = account_id
        self.principal_id = (claims.owner_id if claims else None) or account_id
        self.credential_id = (claims.key_id or claims.token_id) if claims else None

    def identify_link(self, signer: Caller, link_id: UUID) -> None:
        """Sets the principal to a recording link."""
        self.identify(signer)
        self.principal, self.credential_id = Principal.LINK, link_id


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Record of the audit, without names, phone numbers and secrets.

    `target` is the id of the user, webhook, greeting, account, hold, erasure, token, key or link.
    The `target` of a refused request is its method and route.
    """

    account_id: UUID
    at: datetime
    id: UUID
    action: str
    result: Result
    principal: Principal
    principal_id: UUID | None
    credential_id: UUID | None
    peer: str | None
    request_id: str | None
    vmbox_id: UUID | None
    message_id: MessageId | None
    target: str | None


class AuditCursor(msgspec.Struct, frozen=True, array_like=True):
    """Sort key of the first record of a page."""

    at: Annotated[datetime, Meta(tz=True)]
    id: UUID


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selection of records; None selects all. `since` and `until` are inclusive."""

    action: str | None = None
    principal_id: UUID | None = None
    vmbox_id: UUID | None = None
    message_id: MessageId | None = None
    since: datetime | None = None
    until: datetime | None = None


_current: ContextVar[Actor | None] = ContextVar("actor", default=None)


def current_actor() -> Actor:
    """Returns the actor of the current work. In a background process, this is the service."""
    return _current.get() or Actor(principal=Principal.SERVICE)


def set_current_actor(actor: Actor) -> None:
    """Sets the current actor until the end of the task."""
    _current.set(actor)


@contextmanager
def acting_as(actor: Actor) -> Iterator[Actor]:
    """Sets the current actor while the block runs, also for tasks that it starts."""
    token = _current.set(actor)
    try:
        yield actor
    finally:
        _current.reset(token)
