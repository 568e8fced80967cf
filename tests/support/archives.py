"""Archives: a tenant with content, its export, and the members of the archive."""

import asyncio
import io
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import zstandard

from service.audio.store import AudioStore
from service.domain.account import NO_QUOTAS, Caller
from service.domain.clock import utc_now
from service.domain.message import Folder, ForwardStep
from service.domain.transcription import Word
from service.postgres.pool import Database
from service.transfer.archive.destination import FileDestination
from service.transfer.archive.exporter import Exporter
from service.transfer.archive.format import ArchiveManifest
from service.transfer.archive.records import RecordReader
from service.transfer.source import SourceAccount, SourceBox, SourceGreeting, SourceUser
from service.usecases.accounts import Accounts
from service.usecases.idempotency import Idempotency
from service.usecases.retention import RetentionLookup
from service.usecases.trash import Trash
from service.usecases.vmbox_trash import VmboxTrash
from tests.support.accounts import a_key_ring, a_root, accounts_over
from tests.support.audio_samples import a_wav
from tests.support.imports import ListSource, a_message, audio_of

YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
ACME, BRANCH, BOX = "a" * 32, "b" * 32, "c" * 32
DELETED_BOX, EXPIRED_BOX = "1" * 32, "2" * 32
A_STEP = ForwardStep(
    vmbox_id=UUID(BOX),
    media_id=f"202601-{ACME}",
    principal="user",
    principal_id=UUID(ACME),
    at=YESTERDAY,
)


class Missing:
    """Observer of an export that keeps the names of missing audio."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def set_total(self, total: int) -> None:
        self.total = total

    def advance(self, count: int) -> None:
        pass

    def report_missing(self, name: str) -> None:
        self.names.append(name)


class InterruptedDestination(FileDestination):
    """Ends the export after each checkpoint, with more bytes in the file."""

    async def checkpoint(self, state: bytes) -> None:
        await super().checkpoint(state)
        await self.write(b"bytes after the checkpoint")
        raise asyncio.CancelledError


def a_tenant() -> ListSource:
    return ListSource(
        accounts=[
            SourceAccount(key=ACME, name="Acme", realm="acme.example.com", document={"x": [1]}),
            SourceAccount(key=BRANCH, name="Branch", realm="branch.example.com", parent_key=ACME),
        ],
        users=[SourceUser(key="d" * 32, account_key=ACME, document={"username": "Žofie"})],
        greetings=[
            SourceGreeting(
                key="e" * 32,
                account_key=ACME,
                owner_key="d" * 32,
                document={"name": "hello"},
                open=audio_of(a_wav(0.1)),
            ),
            SourceGreeting(key="f" * 32, account_key=BRANCH, document={"name": "silent"}),
        ],
        boxes=[
            SourceBox(
                key="box",
                account_key=ACME,
                document={
                    "name": "Reception",
                    "mailbox": "100",
                    "pin": "1234",
                    "owner_id": "d" * 32,
                    "media": {"unavailable": "e" * 32},
                },
            ),
            SourceBox(key=BOX, account_key=BRANCH, document={"name": "B", "mailbox": "100"}),
        ],
        messages=[
            a_message(
                *("1", YESTERDAY - timedelta(days=40)),
                transcription={"text": "hello"},
                words=(Word(0, 420, 97, "hello"),),
            ),
            a_message(
                *("2", YESTERDAY),
                folder=Folder.SAVED,
                caller_id_name="Ωmega",
                forwarded=(A_STEP,),
            ),
            a_message("3", YESTERDAY, removed_at=YESTERDAY + timedelta(hours=1)),
            *[a_message(f"m{number}", YESTERDAY, box_key=BOX) for number in range(5)],
        ],
    )


def a_tenant_with_old_boxes() -> ListSource:
    """Returns a tenant with two more boxes that have messages."""
    source = a_tenant()
    old = {"name": "Old", "mailbox": "200", "pin": "9876"}
    source.records["boxes"] = [
        *source.records["boxes"],
        SourceBox(key=DELETED_BOX, account_key=BRANCH, document=old),
        SourceBox(key=EXPIRED_BOX, account_key=BRANCH, document={"name": "E", "mailbox": "201"}),
    ]
    source.records["messages"] = [
        *source.records["messages"],
        a_message("old1", YESTERDAY, box_key=DELETED_BOX),
        a_message("old2", YESTERDAY, box_key=DELETED_BOX, folder=Folder.SAVED),
        a_message("old3", YESTERDAY, box_key=DELETED_BOX, removed_at=YESTERDAY),
        a_message("expired", YESTERDAY, box_key=EXPIRED_BOX),
    ]
    return source


def a_vmbox_trash(database: Database, store: AudioStore) -> VmboxTrash:
    idempotency = Idempotency(database)
    retention = RetentionLookup(database)
    trash = Trash(database, store, idempotency, utc_now, retention, trash_days=7)
    return VmboxTrash(database, idempotency, utc_now, trash, NO_QUOTAS)


def an_exporter(accounts: Accounts, store: AudioStore, observer: Missing) -> Exporter:
    return Exporter(
        database=accounts.database,
        audio=store,
        reader=RecordReader(accounts.database, accounts.secrets, utc_now, trash_days=7),
        clock=utc_now,
        observer=observer,
        chunk=2,
    )


async def exported(
    accounts: Accounts,
    store: AudioStore,
    target: Path,
    destination_type: type[FileDestination] = FileDestination,
) -> tuple[ArchiveManifest, Missing]:
    observer = Missing()
    exporter = an_exporter(accounts, store, observer)
    account_id = (await accounts.find(await root_of(accounts), "acme.example.com")).account_id
    async with destination_type.open(target) as destination:
        return await exporter.run(account_id, destination), observer


async def root_of(accounts: Accounts) -> Caller:
    return await accounts.sessions.get_operator()


def members_of(archive: Path) -> dict[str, bytes]:
    """Returns the members; the manifest without its time."""
    content = zstandard.ZstdDecompressor().stream_reader(
        archive.read_bytes(), read_across_frames=True
    )
    with tarfile.open(fileobj=io.BytesIO(content.read())) as tar:
        members = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        read = {name: file.read() for name, file in members.items() if file is not None}
    manifest = msgspec.json.decode(read["manifest.json"])
    assert manifest.pop("created_at")
    return {**read, "manifest.json": msgspec.json.encode(manifest)}


async def a_deployment(database: Database) -> tuple[Accounts, Caller]:
    accounts = accounts_over(database, a_key_ring())
    return accounts, await a_root(accounts)
