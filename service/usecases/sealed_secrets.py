"""Use cases of encryption keys: find their use, and encrypt all stored secrets again."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import msgspec

from service.domain.audit import Action
from service.domain.sealed_secret import SealedSecret, SecretPurpose
from service.logs import get_logger
from service.postgres import sealed_secrets as rows
from service.postgres.accounts import get_root_id
from service.postgres.audit import insert_change
from service.postgres.pool import Connection, Database
from service.security import SecretBox, SecretUnreadable

log = get_logger(__name__)

_BATCH = 500
_START = (UUID(int=0), UUID(int=0))


class ResealCounts(msgspec.Struct, frozen=True):
    """Numbers of secrets that were encrypted again, and that could not be decrypted."""

    resealed: int
    unreadable: int


@dataclass(frozen=True, kw_only=True)
class SealedSecrets:
    """Use cases of encryption keys."""

    database: Database
    secrets: SecretBox

    async def count_by_key(self, key_id: str) -> int:
        """Returns the number of secrets that a key has encrypted."""
        return sum(counts.by_key for counts in await self._count(SecretBox.prefix_of(key_id)))

    async def count_to_reseal(self) -> int:
        """Returns the number of secrets that another key than the active one has encrypted."""
        return sum(counts.by_others for counts in await self._count(self.secrets.active_prefix))

    async def reseal(self, advance: Callable[[int], None]) -> ResealCounts:
        """Encrypts all secrets with the active key; `advance` receives the size of each batch.

        A batch is one transaction, so the operation can be stopped at any time and run again. The
        record of the audit commits with the first batch.
        """
        resealed = unreadable = 0
        for purpose in SecretPurpose:
            after = _START
            while batch := await self._list(purpose, after):
                after = (batch[-1].account_id, batch[-1].row_id)
                replaced = self._reseal_all(batch)
                async with self.database.transaction() as connection:
                    count = await rows.replace_sealed(connection, purpose, replaced)
                    if count and not resealed:
                        await _record(connection, Action.SECRETS_RESEALED, None)
                resealed += count
                unreadable += len(batch) - len(replaced)
                advance(len(batch))
        return ResealCounts(resealed, unreadable)

    @asynccontextmanager
    async def retiring(self, key_id: str) -> AsyncIterator[None]:
        """Records that the block retires a key. An error in the block reverts the record."""
        async with self.database.transaction() as connection:
            await _record(connection, Action.KEY_RETIRED, key_id)
            yield

    async def _count(self, prefix: bytes) -> list[rows.SealedCounts]:
        async with self.database.connection() as connection:
            return [await rows.count_sealed(connection, kind, prefix) for kind in SecretPurpose]

    async def _list(self, purpose: SecretPurpose, after: tuple[UUID, UUID]) -> list[SealedSecret]:
        async with self.database.connection() as connection:
            return await rows.list_to_reseal(
                connection, purpose, self.secrets.active_prefix, after, _BATCH
            )

    def _reseal_all(self, batch: list[SealedSecret]) -> dict[bytes, SealedSecret]:
        """Returns the new secrets by the old value, without those that cannot be decrypted."""
        replaced = {}
        for secret in batch:
            try:
                plaintext = self.secrets.open(secret.sealed, secret.context)
            except SecretUnreadable as error:
                log.error(
                    "stored secret is unreadable",
                    purpose=secret.purpose.name.lower(),
                    account_id=secret.account_id.hex,
                    id=secret.row_id.hex,
                    reason=error.reason,
                )
                continue
            sealed = self.secrets.seal(plaintext, secret.context)
            replaced[secret.sealed] = msgspec.structs.replace(secret, sealed=sealed)
        return replaced


async def _record(connection: Connection, action: Action, key_id: str | None) -> None:
    """Records a change of the keys in the audit of the root account, once it exists."""
    root_id = await get_root_id(connection)
    if root_id is not None:
        await insert_change(connection, root_id, action, key_id)
