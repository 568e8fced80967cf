"""Composition of exports and imports."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from service.audio.conversion.pool import ConversionPool
from service.audio.store import AudioStore
from service.domain.account import Caller
from service.domain.clock import utc_now
from service.postgres.pool import Database
from service.settings import Settings
from service.transfer.archive.exporter import Exporter, ExportObserver
from service.transfer.archive.records import RecordReader
from service.transfer.importer import Importer
from service.transfer.report import ImportReport
from service.transfer.source import Source
from service.transfer.structure import ImportOptions, StructureWriter
from service.usecases.accounts import Accounts
from service.usecases.greetings import Greetings
from service.usecases.retention import RetentionLookup
from service.usecases.uploads import Uploads
from service.usecases.vmboxes import Vmboxes
from service.wiring.accounts import acting_as_operator, check_tables
from service.wiring.factories import (
    open_accounts,
    open_audio,
    open_conversion,
    open_database,
    open_owner_database,
    quotas_of,
    retention_of,
    users_of,
)

# More than the importer uses at once.
_CONNECTIONS = 10
_UPLOADS = 32


@dataclass(frozen=True, kw_only=True)
class TransferTools:
    """Components of exports and imports. `months` creates partitions of any month."""

    settings: Settings
    root: Caller
    database: Database
    months: Database
    accounts: Accounts
    audio: AudioStore
    conversion: ConversionPool

    def importer(self, source: Source, options: ImportOptions, report: ImportReport) -> Importer:
        """Returns the importer of a source. Quotas apply; the limits of boxes do not."""
        settings, quotas = self.settings, quotas_of(self.settings)
        uploads = Uploads(_UPLOADS, _UPLOADS, settings.max_upload_bytes)
        structure = StructureWriter(
            root=self.root,
            database=self.database,
            accounts=self.accounts,
            users=users_of(self.accounts, settings),
            vmboxes=Vmboxes(self.database, self.accounts.secrets, utc_now, quotas),
            greetings=Greetings(self.database, self.audio, utc_now, uploads, quotas),
            retention=RetentionLookup(self.database, retention_of(settings)),
            source=source,
            options=options,
            report=report,
            max_upload_bytes=settings.max_upload_bytes,
        )
        return Importer(
            source=source,
            structure=structure,
            options=options,
            report=report,
            database=self.database,
            months=self.months,
            audio=self.audio,
            clock=utc_now,
            max_upload_bytes=settings.max_upload_bytes,
            quotas=quotas,
            conversion=self.conversion,
        )

    def exporter(self, observer: ExportObserver) -> Exporter:
        """Returns the exporter of accounts."""
        return Exporter(
            database=self.database,
            audio=self.audio,
            reader=RecordReader(
                self.database, self.accounts.secrets, utc_now, self.settings.purge_grace_days
            ),
            clock=utc_now,
            observer=observer,
        )


@asynccontextmanager
async def open_transfer_tools(settings: Settings) -> AsyncIterator[TransferTools]:
    """Opens database, store and accounts, with the rights of an operator. Raises NotSetUp."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(open_database(settings, "aftertone cli", size=_CONNECTIONS))
        months = database
        if settings.owner_database_url:
            months = await enter(open_owner_database(settings))
        accounts = await enter(open_accounts(settings, database))
        audio = await enter(open_audio(settings))
        await check_tables(database)
        root = await enter(acting_as_operator(accounts))
        yield TransferTools(
            settings=settings,
            root=root,
            database=database,
            months=months,
            accounts=accounts,
            audio=audio,
            conversion=await enter(open_conversion(settings)),
        )
