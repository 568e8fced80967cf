"""Sources of an import: neutral records, and the interface of a source.

Documents have the field names of KAZOO. Keys are strings that are stable within a source: the ids
of imported records are derived from the name of the source and the key, so that a second import
finds them. A key that is an id of KAZOO becomes the id of the record.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from service.domain.message import Folder, ForwardStep
from service.domain.schema import Document
from service.domain.transcription import Word


class ReceivedAudio(ABC):
    """Audio whose content type is known after its first block was received."""

    content_type: str | None = None

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[bytes]:
        """Returns the blocks."""


OpenAudio = Callable[[], AsyncIterator[bytes] | ReceivedAudio]
"""Opens the audio of a record.

Its iteration raises SourceError when the audio cannot be read, and Unavailable when it may be
opened again.
"""


class SourceError(Exception):
    """A record of a source cannot be read. The text is the reason, for the report."""


class SourceFailed(Exception):
    """The source itself cannot be read. The text says what to do next; the import ends."""


class GreetingKind(StrEnum):
    """Use of a greeting by its box."""

    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    NAME = "name"
    TEMPORARY = "temporary"


class SourceAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Account. Accounts come after their parents. A top account has no `parent_key`."""

    key: str
    name: str
    realm: str
    parent_key: str | None = None
    document: Document = msgspec.field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name in the report."""
        return f"{self.name} ({self.realm})"


class SourceUser(msgspec.Struct, frozen=True, kw_only=True):
    """User without a password. The document has at least `username`."""

    key: str
    account_key: str
    document: Document

    @property
    def label(self) -> str:
        """Name in the report."""
        return str(self.document.get("username", self.key))


class SourceBox(msgspec.Struct, frozen=True, kw_only=True):
    """Box. The document has at least `name`; without `mailbox`, it gets a free number.

    `owner_id` and ids in `media` are keys of users and greetings of the same source. A box with
    `deleted_at` has been in the trash of its account since that time.
    """

    key: str
    account_key: str
    document: Document
    deleted_at: datetime | None = None

    @property
    def label(self) -> str:
        """Name in the report."""
        return str(self.document.get("mailbox") or self.document.get("name", self.key))


class SourceGreeting(msgspec.Struct, frozen=True, kw_only=True):
    """Greeting of an account. With `box_key` and `kind`, it is attached to that box.

    A greeting without `open` has no audio. `owner_key` is the key of a user.
    """

    key: str
    account_key: str
    box_key: str | None = None
    kind: GreetingKind | None = None
    owner_key: str | None = None
    document: Document = msgspec.field(default_factory=dict)
    filename: str | None = None
    content_type: str | None = None
    open: OpenAudio | None = None

    @property
    def label(self) -> str:
        """Name in the report."""
        return self.key


class SourceMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Message with its audio. The report names it by `name`, or by its key.

    `received_at` and the other times are aware. Without `length_ms`, the length is measured. A
    message with `removed_at` has been in the trash since that time. `changed_at` is the time of the
    last change of its folder. `introduction` is the comment of a forwarded message, which is played
    before it.
    """

    key: str
    box_key: str
    name: str | None = None
    received_at: datetime
    length_ms: int | None = None
    folder: Folder = Folder.NEW
    caller_id_number: str = ""
    caller_id_name: str = ""
    call_id: str | None = None
    from_uri: str | None = None
    to_uri: str | None = None
    transcription: Document | None = None
    words: tuple[Word, ...] = ()
    forwarded: tuple[ForwardStep, ...] = ()
    removed_at: datetime | None = None
    changed_at: datetime | None = None
    filename: str | None = None
    content_type: str | None = None
    open: OpenAudio
    introduction: OpenAudio | None = None
    introduction_filename: str | None = None


class Skipped(msgspec.Struct, frozen=True):
    """Record that cannot be imported: its name in the report, and the reason.

    `name` is a path, number or id that a person can find in the source, such as
    `default/100/INBOX/msg0003`. It contains no content of the message.
    """

    name: str
    reason: str


class Source(Protocol):
    """Source of an import. Each method yields all records of one kind, in a stable order.

    A record that cannot be read is yielded as Skipped. The methods raise SourceFailed when the
    source itself cannot be read. They may be called more than once, and read as they are iterated:
    memory is bounded.
    """

    @property
    def name(self) -> str:
        """Name of the source. Ids of records are derived from it, so it must not change."""

    def accounts(self) -> AsyncIterator[SourceAccount | Skipped]:
        """Yields the accounts, parents first."""

    def users(self) -> AsyncIterator[SourceUser | Skipped]:
        """Yields the users of all accounts."""

    def boxes(self) -> AsyncIterator[SourceBox | Skipped]:
        """Yields the boxes of all accounts."""

    def greetings(self) -> AsyncIterator[SourceGreeting | Skipped]:
        """Yields the greetings of all accounts."""

    def messages(self) -> AsyncIterator[SourceMessage | Skipped]:
        """Yields the messages of all boxes. Messages before `since` of the import may be absent."""

    async def count_messages(self) -> int | None:
        """Returns the number of messages for the progress bar, or None if it is not known."""

    async def close(self) -> None:
        """Closes files and connections."""
