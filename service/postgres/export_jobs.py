"""Exports that administrators start: one function per statement of export_jobs.sql."""

from datetime import datetime
from uuid import UUID

import asyncpg

from service.domain.errors import ExportInProgress, ExportNotFound
from service.domain.export import ExportJob, ExportStatus
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("export_jobs")
# More than an account can start until the first ones are deleted.
_MAX_OF_ACCOUNT = 100_000


async def insert_export(connection: Connection, account_id: UUID, export_id: UUID) -> ExportJob:
    """Starts an export. Raises ExportInProgress."""
    row = await _SQL["insert_export"].fetchrow(
        connection, account_id=account_id, export_id=export_id
    )
    if row is None:
        raise ExportInProgress
    return _to_export(row)


async def get_export(connection: Connection, account_id: UUID, export_id: UUID) -> ExportJob:
    """Returns an export. Raises ExportNotFound."""
    row = await _SQL["get_export"].fetchrow(connection, account_id=account_id, export_id=export_id)
    if row is None:
        raise ExportNotFound(export_id.hex)
    return _to_export(row)


async def list_exports(connection: Connection, account_id: UUID, limit: int) -> list[ExportJob]:
    """Returns the newest exports of an account."""
    rows = await _SQL["list_exports"].fetch(connection, account_id=account_id, limit=limit)
    return [_to_export(row) for row in rows]


async def find_pending_export(connection: Connection) -> ExportJob | None:
    """Returns the oldest pending export of all accounts."""
    row = await _SQL["find_pending_export"].fetchrow(connection)
    return None if row is None else _to_export(row)


async def record_export_progress(
    connection: Connection, job: ExportJob, *, messages: int, exported: int, missing_audio: int
) -> None:
    """Records the progress of an export."""
    await _SQL["record_export_progress"].execute(
        connection,
        account_id=job.account_id,
        export_id=job.export_id,
        messages=messages,
        exported=exported,
        missing_audio=missing_audio,
    )


async def finish_export(
    connection: Connection,
    job: ExportJob,
    *,
    archive_size: int | None = None,
    problem: str | None = None,
) -> bool:
    """Ends an export: done, or failed with a problem. Returns False if it was deleted."""
    row = await _SQL["finish_export"].fetchrow(
        connection,
        account_id=job.account_id,
        export_id=job.export_id,
        archive_size=archive_size,
        problem=problem,
    )
    return row is not None


async def list_exports_with_account(connection: Connection, account_id: UUID) -> list[ExportJob]:
    """Returns the exports of an account and of the accounts above it."""
    lineage = await _SQL["get_lineage"].fetchval(connection, account_id=account_id)
    return [
        job
        for account in lineage or [account_id]
        for job in await list_exports(connection, account, _MAX_OF_ACCOUNT)
    ]


async def list_old_exports(connection: Connection, before: datetime, limit: int) -> list[ExportJob]:
    """Returns the oldest exports of all accounts."""
    rows = await _SQL["list_old_exports"].fetch(connection, before=before, limit=limit)
    return [_to_export(row) for row in rows]


async def delete_export(connection: Connection, job: ExportJob) -> None:
    """Deletes an export."""
    await _SQL["delete_export"].execute(
        connection, account_id=job.account_id, export_id=job.export_id
    )


def _to_export(row: asyncpg.Record) -> ExportJob:
    return ExportJob(**{**row, "status": ExportStatus(row["status"])})
