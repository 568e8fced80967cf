"""Idempotency keys: for a day, requests with the same key have one effect and one response.

A key belongs to a mailbox. A request first writes a claim with a lease in its own transaction, then
writes the response together with the effect. Another request may take over an expired lease.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from service.domain.errors import Conflict, NotFound, Refused, Unavailable
from service.postgres import idempotency as rows
from service.postgres.idempotency import Claim, CompletedRequest
from service.postgres.pool import Database

__all__ = ["Claim", "CompletedRequest", "Idempotency", "fingerprint"]


@dataclass(frozen=True)
class Idempotency:
    """Claims on keys. `lease` is longer than a request needs between two renewals."""

    database: Database
    lease: timedelta = timedelta(seconds=30)

    @asynccontextmanager
    async def claim(
        self, account_id: UUID, vmbox_id: UUID, key: str, content: bytes, plan: Any = None
    ) -> AsyncIterator[Claim | CompletedRequest]:
        """Yields a claim, or the response that is already stored.

        An error of the request releases the claim. An outage expires its lease, so that the next
        request can take it over at once. Raises IdempotencyKeyInUse, IdempotencyKeyReused.
        """
        claim = Claim(account_id=account_id, vmbox_id=vmbox_id, key=key, token=uuid4(), plan=plan)
        async with self.database.connection() as connection:
            result = await rows.claim(connection, claim, content, self.lease)
        if isinstance(result, CompletedRequest):
            yield result
            return
        try:
            yield result
        except (NotFound, Conflict, Refused, Unavailable) as error:
            end_claim = rows.expire_claim if isinstance(error, Unavailable) else rows.release_claim
            with suppress(Unavailable):
                async with self.database.connection() as connection:
                    await end_claim(connection, result)
            raise

    async def renew(self, claim: Claim) -> None:
        """Extends the lease. Raises IdempotencyKeyInUse when another request took it over."""
        async with self.database.connection() as connection:
            await rows.renew_claim(connection, claim, self.lease)

    async def complete(self, claim: Claim, response: Any) -> None:
        """Stores the response. Raises IdempotencyKeyInUse when another request took over."""
        async with self.database.connection() as connection:
            await rows.complete_claim(connection, claim, response)


def fingerprint(*content: Any) -> bytes:
    """Returns a digest of the content of a request, independent of its encoding."""
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).digest()
