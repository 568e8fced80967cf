"""Errors as data, without status codes. The docstring of a class is its text for users."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class VoicemailError(Exception):
    """The operation failed; retry, and report the problem if it occurs again."""

    def __str__(self) -> str:
        return (type(self).__doc__ or "").strip()


class LimitExceeded(VoicemailError):
    """The request exceeds a limit; send less, or delete a resource."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class NotFound(VoicemailError):
    """The resource does not exist; check its id."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(cause)
        self.cause = cause


class AccountNotFound(NotFound):
    """The account does not exist; check its id, realm or name."""


class UserNotFound(NotFound):
    """The user does not exist in this account; check its id."""


class VmboxNotFound(NotFound):
    """The mailbox does not exist in this account; check its id."""


class RecipientNotFound(NotFound):
    """The recipient does not exist in this mailbox; check its id."""


class RecipientLinkInvalid(NotFound):
    """The link is not valid; open the link in the mail again."""


class MessageNotFound(NotFound):
    """The message does not exist in this mailbox; check its id."""


class TranscriptionMissing(NotFound):
    """The message has no transcription; request one and read it later."""


class GreetingNotFound(NotFound):
    """The greeting does not exist in this account; check its id."""


class WebhookNotFound(NotFound):
    """The webhook does not exist in this account; check its id."""


class ApiKeyNotFound(NotFound):
    """The API key does not exist in this account or was revoked; check its id."""


class HoldNotFound(NotFound):
    """The legal hold does not exist in this account or was released; check its id."""


class ErasureNotFound(NotFound):
    """The erasure does not exist in this account; check its id."""


class NoGreetingPlays(NotFound):
    """The mailbox has no greeting that plays now; play the standard greeting, or set one."""


class ExportNotFound(NotFound):
    """The export does not exist in this account or was deleted; check its id."""


class Conflict(VoicemailError):
    """The request conflicts with stored data; read the resource and retry."""


class MailboxNumbersExhausted(Conflict):
    """All four-digit mailbox numbers are in use; delete a mailbox and retry."""


class RestoredNumberTaken(Conflict):
    """Another mailbox has taken the number of the deleted mailbox; change its number and retry."""

    def __init__(self, numbers: Sequence[str]) -> None:
        super().__init__(*numbers)
        self.numbers = tuple(numbers)


class EditConflict(Conflict):
    """Another request changed the resource at the same time; retry."""


class GreetingInUse(Conflict):
    """A mailbox uses the greeting; remove the greeting from the mailbox first."""


class ExportInProgress(Conflict):
    """The account has an export in progress; wait until it is done."""


class ExportNotReady(Conflict):
    """The archive is not complete; read the export and retry when its status is done."""


class AccountHasChildren(Conflict):
    """The account has child accounts; delete them first."""


class AccountIsRoot(Conflict):
    """The root account cannot be deleted."""


class IdempotencyKeyInUse(Conflict):
    """A request with the same Idempotency-Key is in progress; retry in a moment."""


class PreconditionFailed(Conflict):
    """The resource has changed since the given revision; read it and retry."""


class VmboxFull(Conflict):
    """The mailbox is full (message limit reached); delete messages and retry."""

    def __init__(self, max_message_count: int, message_count: int) -> None:
        super().__init__(max_message_count, message_count)
        self.max_message_count = max_message_count
        self.message_count = message_count


class MessageHeld(Conflict):
    """A legal hold keeps the message; release the hold first."""


class DeletionHeld(Conflict):
    """Legal holds forbid the deletion; release the named holds first."""

    def __init__(self, holds: Mapping[str, str]) -> None:
        super().__init__(*holds)
        self.holds = dict(holds)


class TooManyHolds(LimitExceeded, Conflict):
    """The account has the maximum number of legal holds; release one and retry."""


class MessageExists(Conflict):
    """The message has been stored already; read it."""


class TooManyPending(LimitExceeded, Conflict):
    """Too many messages of this mailbox have no audio; upload audio or delete messages."""


class QuotaExceeded(LimitExceeded, Conflict):
    """The account has reached a quota; delete a resource or request a higher quota."""

    def __init__(self, quota: str, limit: int) -> None:
        super().__init__(limit)
        self.quota = quota


class TooManyWebhooks(LimitExceeded, Conflict):
    """The account has the maximum number of webhooks; delete one and retry."""


class TooManyApiKeys(LimitExceeded, Conflict):
    """The account has the maximum number of API keys; delete one and retry."""


class Refused(VoicemailError):
    """The request is not valid; correct it and retry."""


class IdempotencyKeyReused(Refused):
    """The Idempotency-Key belongs to a different request; use a new key."""


class Rule(StrEnum):
    """Rules that a field can break, named after keywords of JSON Schema where they exist."""

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
    NOT_ALLOWED = "not_allowed"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A broken rule: `field` is a dotted path, `target` the limit, `value` the rejected value."""

    field: str
    rule: Rule
    target: Any = None
    value: Any = None
    message: str | None = None


MAX_PROBLEMS = 100
"""Maximum number of problems in one response."""


class Invalid(Refused):
    """Some fields are not valid; correct them and retry."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.count = len(problems)
        self.problems = tuple(problems[:MAX_PROBLEMS])
        super().__init__(*self.problems)

    @classmethod
    def of(cls, field: str, rule: Rule, **details: Any) -> "Invalid":
        return cls([Problem(field=field, rule=rule, **details)])


class NumberTaken(Invalid):
    """Another mailbox of the account has this number; use another number."""

    def __init__(self) -> None:
        super().__init__([Problem(field="mailbox", rule=Rule.UNIQUE)])


class DocumentTooLarge(LimitExceeded, Refused):
    """The document exceeds the size limit; send a smaller document."""


class DocumentTooComplex(LimitExceeded, Refused):
    """The document has too many values; send a document with fewer values."""


class ContentTypeRefused(Refused):
    """The path does not accept this content type; send one of the accepted types."""

    def __init__(self, accepted: Sequence[str]) -> None:
        super().__init__(*accepted)
        self.accepted = tuple(accepted)


class ContentEncodingRefused(Refused):
    """The body or a part of it has a Content-Encoding; send it without compression."""


class MessageExpired(Refused):
    """The message is older than the retention time; it can only be deleted."""

    def __init__(self, message_id: str, retained_since: datetime) -> None:
        super().__init__(message_id, retained_since)
        self.message_id = message_id
        self.retained_since = retained_since


class MonthNotAllowed(Refused):
    """The month is too old to be created; import with AFTERTONE_OWNER_DATABASE_URL."""


class Unauthorized(VoicemailError):
    """The request has no valid credentials; sign in and retry."""


class CredentialsInvalid(Unauthorized):
    """The credentials are missing or wrong; correct them and retry."""


class TokenInvalid(Unauthorized):
    """The token is malformed, expired or revoked; sign in again."""


class LinkInvalid(Unauthorized):
    """The link is malformed or has expired, or its signer has lost access; create a new link."""


class Forbidden(VoicemailError):
    """Access is denied; use your own account or one below it, and a token with the permission."""


class LimitsForbidden(Forbidden):
    """Only an account above this one may change its limits; leave `limits` unchanged."""


class TooManyRequests(VoicemailError):
    """The account exceeds its request rate; retry after the time in Retry-After."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class TooManyStreams(TooManyRequests):
    """Too many event streams are open; close one and retry after the time in Retry-After."""

    def __init__(self, wait_s: int = 10) -> None:
        super().__init__(wait_s)


class SignInLocked(TooManyRequests):
    """Too many wrong credentials; retry after the time in Retry-After."""


class PinLocked(TooManyRequests):
    """Too many wrong PINs for this mailbox; retry after the time in Retry-After."""


class Unavailable(VoicemailError):
    """A required service does not respond; retry in a moment."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class DatabaseUnavailable(Unavailable):
    """The database does not respond; retry in a moment."""


class StorageUnavailable(Unavailable):
    """The audio store does not respond; retry in a moment."""


class BusUnavailable(Unavailable):
    """The event stream does not respond; retry in a moment."""


class IssuerUnavailable(Unavailable):
    """The keys of the token issuer cannot be fetched; retry in a moment."""


class TooManySignIns(Unavailable):
    """Too many sign-ins in progress; retry in a moment."""


class TooManyUploads(Unavailable):
    """Too many uploads in progress; retry in a moment."""


class TooManyBodies(Unavailable):
    """Too many large requests in progress; retry in a moment."""


class TooManyConversions(Unavailable):
    """Too many audio conversions in progress; retry in a moment."""


class TooManyPings(Unavailable):
    """Too many webhook pings in progress; retry in a moment."""


class DnsUnavailable(Unavailable):
    """Host names cannot be resolved; retry in a moment."""
