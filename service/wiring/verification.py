"""Builds the verification of a deployment."""

from datetime import timedelta
from uuid import UUID

from service.domain.clock import utc_now
from service.domain.errors import AccountNotFound
from service.domain.message import parse_hex_id
from service.postgres.accounts import find_facts_by_name, find_facts_by_realm
from service.postgres.pool import Connection
from service.settings import Settings
from service.wiring.factories import open_audio, open_owner_database
from service.workers.verification import Findings, Verification
from service.workers.verification.verification import Progress


async def run_verification(
    settings: Settings,
    findings: Findings,
    progress: Progress,
    *,
    account: str | None,
    sample_size: int | None,
    is_repairing: bool,
) -> None:
    """Adds the findings of a verification. Raises AccountNotFound, Unavailable.

    `account` is an id, a realm or a name; None: all accounts.
    """
    async with open_owner_database(settings) as database, open_audio(settings) as audio:
        account_id = None
        if account is not None:
            async with database.connection() as connection:
                account_id = await _find(connection, account)
        verification = Verification(
            database,
            audio,
            utc_now,
            orphan_grace=timedelta(hours=settings.orphan_grace_hours),
            account_id=account_id,
            sample_size=sample_size,
            is_repairing=is_repairing,
        )
        await verification.run(findings, progress)


async def _find(connection: Connection, account: str) -> UUID:
    """Returns the id of an account. An id may be that of a deleted account."""
    if (account_id := parse_hex_id(account)) is not None:
        return account_id
    for find in (find_facts_by_realm, find_facts_by_name):
        if (facts := await find(connection, account)) is not None:
            return facts.account_id
    raise AccountNotFound(account)
