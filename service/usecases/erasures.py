"""Use cases of erasures. The keeper runs the jobs."""

from dataclasses import dataclass
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.audit import Action
from service.domain.clock import utc_now
from service.domain.erasure import Erasure, ErasureKind
from service.domain.errors import Invalid, Rule
from service.domain.message import ANONYMOUS, uuid7
from service.postgres import erasures as rows
from service.postgres.accounts import lock_account_for_share
from service.postgres.audit import insert_change
from service.postgres.pool import Database


@dataclass(frozen=True)
class ErasureRequests:
    """Creates and reads the jobs of an account."""

    database: Database

    async def create(self, account: AccountFacts, number: str, name: str | None) -> Erasure:
        """Creates the erasure of a person. Raises Invalid, DeletionHeld, AccountNotFound."""
        if name is not None and name.strip().lower() in ("", ANONYMOUS):
            raise Invalid.of("caller_id_name", Rule.WRONG_FORMAT, value=name)
        account_id, erasure_id = account.account_id, uuid7(utc_now())
        async with self.database.transaction() as connection:
            await lock_account_for_share(connection, account_id)
            job = await rows.insert_erasure(
                connection, account_id, erasure_id, account_id, ErasureKind.PERSON, number, name
            )
            await rows.check_holds(connection, account_id, number, name)
            await insert_change(connection, account_id, Action.ERASURE_CREATED, erasure_id)
        return job

    async def get(self, account: AccountFacts, erasure_id: UUID) -> Erasure:
        """Returns a job. Raises ErasureNotFound."""
        async with self.database.connection() as connection:
            return await rows.get_erasure(connection, account.account_id, erasure_id)
