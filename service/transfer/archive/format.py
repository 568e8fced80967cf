"""Format of archives: names of members, and the rows of JSON lines. Keys are those of the file."""

from datetime import datetime
from enum import StrEnum

import msgspec

from service.domain.message import Folder, ForwardStep
from service.domain.schema import Document
from service.domain.transcription import Word

FORMAT = "aftertone-archive"
VERSION = 1
"""Incremented when a reader of the older version would lose or misread data."""
HEAD = "aftertone.json"
MANIFEST = "manifest.json"


class ArchiveSection(StrEnum):
    """Sections of an archive in their order: the folder of their members."""

    ACCOUNTS = "accounts"
    USERS = "users"
    GREETINGS = "greetings"
    BOXES = "boxes"
    MESSAGES = "messages"


SECTIONS = tuple(ArchiveSection)


class ArchiveHead(msgspec.Struct, frozen=True, kw_only=True):
    """First member. `messages` is the number of messages at the start of the export."""

    format: str = FORMAT
    version: int = VERSION
    account_id: str
    messages: int


class ArchiveManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Last member: an archive without it is incomplete.

    `counts` has the rows of each section, and `missing_audio`. `members` has the SHA-256 of each
    member with JSON lines; these have the SHA-256 of the audio.
    """

    format: str = FORMAT
    version: int = VERSION
    created_at: datetime
    account_id: str
    counts: dict[str, int]
    members: dict[str, str]


class ArchivedAudio(msgspec.Struct, frozen=True, kw_only=True):
    """Audio of a row. Without the member `name`, the audio was missing when it was exported."""

    name: str
    content_type: str
    size: int
    sha256: str


class ArchivedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Account; parents come first. The top account has no `parent_id`."""

    id: str
    parent_id: str | None
    name: str
    realm: str
    document: Document


class ArchivedUser(msgspec.Struct, frozen=True, kw_only=True):
    """User without a password."""

    id: str
    account_id: str
    document: Document


class ArchivedGreeting(msgspec.Struct, frozen=True, kw_only=True):
    """Greeting of an account."""

    id: str
    account_id: str
    owner_id: str | None
    document: Document
    audio: ArchivedAudio | None


class ArchivedBox(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Box; `pin` of its document is in clear text. With `deleted_at` it is in the trash."""

    id: str
    account_id: str
    document: Document
    deleted_at: datetime | None = None


class ArchivedMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Message. With `removed_at` it is in the trash."""

    id: str
    account_id: str
    box_id: str
    received_at: datetime
    length_ms: int
    folder: Folder
    caller_id_number: str
    caller_id_name: str
    call_id: str
    from_uri: str
    to_uri: str
    changed_at: datetime
    audio: ArchivedAudio
    removed_at: datetime | None = None
    transcription: Document | None = None
    words: tuple[Word, ...] = ()
    forwarded: tuple[ForwardStep, ...] = ()


ArchivedRow = ArchivedAccount | ArchivedUser | ArchivedGreeting | ArchivedBox | ArchivedMessage


def lines_member(section: ArchiveSection, number: int) -> str:
    """Returns the name of a member with JSON lines."""
    return f"{section}/{number:08d}.jsonl"


def audio_member(section: ArchiveSection, account_id: str, row_id: str, extension: str) -> str:
    """Returns the name of a member with audio."""
    return f"{section}/{account_id}/{row_id}.{extension}"
