"""Check of counts: counts and stored bytes of boxes, and stored bytes of accounts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import msgspec

from service.postgres import keeper
from service.postgres.keeper import BoxKey, RecountedBox
from service.postgres.pool import Database
from service.postgres.verification import list_account_bytes
from service.workers.keeper.recount import ACCOUNTS, BOXES, MESSAGES, repair, set_bytes
from service.workers.progress import StepProgress
from service.workers.verification.findings import Finding, Findings, Kind

_FIRST = UUID(int=0)


@dataclass(frozen=True)
class CountCheck:
    """Compares counts with one snapshot for each page, so that running changes cause no finding."""

    database: Database
    account_id: UUID | None
    is_repairing: bool

    async def run(self, findings: Findings, progress: StepProgress) -> None:
        if self.account_id is None:
            async with self.database.connection() as connection:
                progress.set_total(await keeper.count_boxes(connection))
        async for box in self._iterate_boxes():
            findings.checked["vmboxes"] += 1
            if box.has_drifted:
                await self._report_counts(box.key, findings)
            if box.have_bytes_drifted:
                await self._report_bytes(box.key, findings)
            progress.advance(1)
        await self._check_accounts(findings)

    async def _iterate_boxes(self) -> AsyncIterator[RecountedBox]:
        after = BoxKey(self.account_id or _FIRST, _FIRST)
        while True:
            async with self.database.connection() as connection:
                page = await keeper.recount_boxes(connection, after, boxes=BOXES, messages=MESSAGES)
            for box in page:
                if self.account_id not in {None, box.key.account_id}:
                    return
                yield box
            if not page:
                return
            after = page[-1].key

    async def _report_counts(self, key: BoxKey, findings: Findings) -> None:
        finding = _finding(Kind.COUNTS_DIFFER, key)
        if self.is_repairing:
            drift = await repair(self.database, key)
            if drift is not None:
                finding = msgspec.structs.replace(
                    finding, expected=drift.counted, actual=drift.stored
                )
            finding = msgspec.structs.replace(finding, repaired=True)
        findings.add(finding)

    async def _report_bytes(self, key: BoxKey, findings: Findings) -> None:
        if self.is_repairing:
            await set_bytes(self.database, key)
        finding = _finding(Kind.VMBOX_BYTES_DIFFER, key)
        findings.add(msgspec.structs.replace(finding, repaired=self.is_repairing))

    async def _check_accounts(self, findings: Findings) -> None:
        async for account_ids in self._iterate_accounts():
            async with self.database.connection() as connection:
                totals = await list_account_bytes(connection, account_ids)
            findings.checked["accounts"] += len(totals)
            for total in totals:
                if total.stored == total.counted:
                    continue
                if self.is_repairing:
                    async with self.database.transaction() as connection:
                        await keeper.correct_account_bytes(connection, total.account_id)
                findings.add(
                    Finding(
                        kind=Kind.ACCOUNT_BYTES_DIFFER,
                        account_id=total.account_id.hex,
                        expected=total.counted,
                        actual=total.stored,
                        repaired=self.is_repairing,
                    )
                )

    async def _iterate_accounts(self) -> AsyncIterator[list[UUID]]:
        if self.account_id is not None:
            yield [self.account_id]
            return
        after = _FIRST
        while True:
            async with self.database.connection() as connection:
                account_ids = await keeper.list_account_ids(connection, after, ACCOUNTS)
            if not account_ids:
                return
            yield account_ids
            after = account_ids[-1]


def _finding(kind: Kind, key: BoxKey) -> Finding:
    return Finding(kind=kind, account_id=key.account_id.hex, vmbox_id=key.vmbox_id.hex)
