"""What can go wrong, as data: no status code, no vendor word. A class states its text itself."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class VoicemailError(Exception):
    """Something could not be done."""

    def __str__(self) -> str:
        return (type(self).__doc__ or "").strip()


class NotFound(VoicemailError):
    """There is no such thing."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(cause)
        self.cause = cause


class AccountNotFound(NotFound):
    """There is no such account."""


class UserNotFound(NotFound):
    """There is no such user."""


class VmboxNotFound(NotFound):
    """There is no such box."""


class RecipientNotFound(NotFound):
    """The box mails to no such recipient."""


class MessageNotFound(NotFound):
    """There is no such message in this box."""


class AudioMissing(NotFound):
    """The message has no audio."""


class GreetingNotFound(NotFound):
    """There is no such greeting."""


class WebhookNotFound(NotFound):
    """There is no such webhook."""


class GreetingHasNoAudio(NotFound):
    """The greeting has no audio."""


class Conflict(VoicemailError):
    """It clashes with what is stored."""


class MailboxNumbersExhausted(Conflict):
    """Every mailbox number of four digits is taken."""


class EditConflict(Conflict):
    """Somebody else changed it at the same time."""


class GreetingInUse(Conflict):
    """A box plays the greeting."""


class AccountHasChildren(Conflict):
    """The account has accounts below it."""


class AccountIsRoot(Conflict):
    """The root account stays as long as the deployment."""


class IdempotencyKeyInUse(Conflict):
    """A request with the same Idempotency-Key is still running."""


class PreconditionFailed(Conflict):
    """It is no longer at the revision that was named."""


class VmboxFull(Conflict):
    """The box holds as many messages as it may."""

    def __init__(self, max_message_count: int, message_count: int) -> None:
        super().__init__(max_message_count, message_count)
        self.max_message_count = max_message_count
        self.message_count = message_count


class NoAudio(Conflict):
    """The message still waits for its audio."""


class TooManyPending(Conflict):
    """Too many messages of this box wait for their audio."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class TooManyWebhooks(Conflict):
    """The account has as many webhooks as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class Refused(VoicemailError):
    """It is not acceptable as it was asked."""


class IdempotencyKeyReused(Refused):
    """The Idempotency-Key was used for another request."""


class Rule(StrEnum):
    """The rules that a field can break; the names are JSON Schema's where it has one."""

    REQUIRED = "required"
    TYPE = "type"
    MIN_LENGTH = "minLength"
    MAX_LENGTH = "maxLength"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    MAX_ITEMS = "maxItems"
    ENUM = "enum"
    WRONG_FORMAT = "wrong_format"
    UNIQUE = "unique"
    DATE_RANGE = "date_range"
    NOT_FOUND = "not_found"
    FORBIDDEN_TARGET = "forbidden_target"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A broken rule: `field` a dotted path, `target` what the rule wanted, `value` what came."""

    field: str
    rule: Rule
    target: Any = None
    value: Any = None
    message: str | None = None


class Invalid(Refused):
    """Some fields break a rule."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(*problems)
        self.problems = tuple(problems)

    @classmethod
    def one(cls, field: str, rule: Rule, **details: Any) -> "Invalid":
        return cls([Problem(field=field, rule=rule, **details)])


class NumberTaken(Invalid):
    """Another box of the account answers to the number."""

    def __init__(self) -> None:
        super().__init__([Problem(field="mailbox", rule=Rule.UNIQUE)])


class AudioTooLarge(Refused):
    """The audio is larger than what is taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class DocumentTooLarge(Refused):
    """The document is larger than what is taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class AudioEmpty(Refused):
    """The audio has no bytes."""


class MessageExpired(Refused):
    """The message is older than the retention time and can only be removed."""

    def __init__(self, message_id: str, retained_since: datetime) -> None:
        super().__init__(message_id, retained_since)
        self.message_id = message_id
        self.retained_since = retained_since


class Unauthorized(VoicemailError):
    """Nobody is signed in."""


class CredentialsInvalid(Unauthorized):
    """The credentials are missing or wrong."""


class TokenInvalid(Unauthorized):
    """The token is malformed, expired or revoked."""


class Forbidden(VoicemailError):
    """The account is neither the caller's own nor below it."""


class TooManyRequests(VoicemailError):
    """The account asks more often than it may."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class Unavailable(VoicemailError):
    """Something that is needed does not answer; the same request may succeed later."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""


class StorageUnavailable(Unavailable):
    """The audio store does not answer."""


class BusUnavailable(Unavailable):
    """The event stream does not answer."""


class IssuerUnavailable(Unavailable):
    """The outside issuer of tokens does not show its keys."""


class TooManySignIns(Unavailable):
    """As many sign-ins as may be are being checked."""


class TooManyUploads(Unavailable):
    """As many uploads as may be are on their way."""


class TooManyPings(Unavailable):
    """As many webhooks as may be are being tested."""


class DnsUnavailable(Unavailable):
    """Host names cannot be looked up."""
