"""Sources of records in memory, and importers over a test's database."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from service.audio.conversion.pool import ConversionPool
from service.audio.store import AudioStore
from service.domain.account import Caller
from service.domain.clock import utc_now
from service.postgres.pool import Database
from service.transfer.importer import Importer
from service.transfer.report import ImportReport, ImportResult, Mapped, RecordKind
from service.transfer.source import (
    OpenAudio,
    Skipped,
    SourceAccount,
    SourceBox,
    SourceGreeting,
    SourceMessage,
    SourceUser,
)
from service.transfer.structure import ImportOptions, StructureWriter
from service.usecases.accounts import Accounts
from service.usecases.greetings import Greetings
from service.usecases.retention import RetentionLookup
from service.usecases.uploads import Uploads
from service.usecases.vmboxes import Vmboxes
from tests.support.accounts import users_beside
from tests.support.audio_samples import a_wav

MAX_BYTES = 1_000_000


def audio_of(content: bytes) -> OpenAudio:
    """Returns a function that opens audio with this content."""

    async def read() -> AsyncIterator[bytes]:
        yield content

    return read


class ListSource:
    """Source whose records are lists."""

    def __init__(
        self,
        *,
        accounts: Sequence[SourceAccount | Skipped] = (),
        users: Sequence[SourceUser | Skipped] = (),
        greetings: Sequence[SourceGreeting | Skipped] = (),
        boxes: Sequence[SourceBox | Skipped] = (),
        messages: Sequence[SourceMessage | Skipped] = (),
    ) -> None:
        self.name = "list"
        self.records: dict[str, Sequence[Any]] = {
            "accounts": accounts,
            "users": users,
            "greetings": greetings,
            "boxes": boxes,
            "messages": messages,
        }

    async def accounts(self) -> AsyncIterator[SourceAccount | Skipped]:
        for record in self.records["accounts"]:
            yield record

    async def users(self) -> AsyncIterator[SourceUser | Skipped]:
        for record in self.records["users"]:
            yield record

    async def greetings(self) -> AsyncIterator[SourceGreeting | Skipped]:
        for record in self.records["greetings"]:
            yield record

    async def boxes(self) -> AsyncIterator[SourceBox | Skipped]:
        for record in self.records["boxes"]:
            yield record

    async def messages(self) -> AsyncIterator[SourceMessage | Skipped]:
        for record in self.records["messages"]:
            yield record

    async def count_messages(self) -> int | None:
        return len(self.records["messages"])

    async def close(self) -> None:
        pass


class RecordingObserver:
    """Keeps the results of an import."""

    def __init__(self) -> None:
        self.total = 0
        self.advanced = 0
        self.mapped: list[Mapped] = []
        self.skipped: list[tuple[RecordKind, Skipped]] = []

    def set_total(self, total: int) -> None:
        self.total = total

    def advance(self, count: int) -> None:
        self.advanced += count

    def report_mapped(self, mapped: Mapped) -> None:
        self.mapped.append(mapped)

    def report_skipped(self, kind: RecordKind, skipped: Skipped) -> None:
        self.skipped.append((kind, skipped))

    @property
    def reasons(self) -> dict[str, str]:
        return {skipped.name: skipped.reason for _, skipped in self.skipped}


async def run_import(
    source: Any,
    accounts: Accounts,
    root: Caller,
    store: AudioStore,
    months: Database | None = None,
    conversion: ConversionPool | None = None,
    **options: Any,
) -> tuple[dict[tuple[RecordKind, ImportResult], int], RecordingObserver]:
    """Imports a source below the root; returns the counts that are not 0, and the details."""
    observer = RecordingObserver()
    report = ImportReport(observer)
    chosen = ImportOptions(below=root.account, **options)
    database = accounts.database
    structure = StructureWriter(
        root=root,
        database=database,
        accounts=accounts,
        users=users_beside(accounts),
        vmboxes=Vmboxes(database, accounts.secrets, utc_now),
        greetings=Greetings(database, store, utc_now, Uploads(8, 8, MAX_BYTES)),
        retention=RetentionLookup(database),
        source=source,
        options=chosen,
        report=report,
        max_upload_bytes=MAX_BYTES,
    )
    importer = Importer(
        source=source,
        structure=structure,
        options=chosen,
        report=report,
        database=database,
        months=months or database,
        audio=store,
        clock=utc_now,
        max_upload_bytes=MAX_BYTES,
        conversion=conversion,
    )
    await importer.run()
    return {key: count for key, count in report.counts.items() if count}, observer


def a_message(key: str, received_at: datetime | None = None, **values: Any) -> SourceMessage:
    """Returns a message of the box `box`."""
    return SourceMessage(
        **{
            "key": key,
            "box_key": "box",
            "received_at": received_at or datetime.now(UTC),
            "caller_id_number": "1001",
            "filename": "msg.wav",
            "open": audio_of(a_wav(0.5)),
            **values,
        }
    )
