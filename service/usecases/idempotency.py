"""Requests that may be repeated: one key, one effect, one answer for a day.

A key belongs to a box. The claim is written in a transaction of its own; whoever holds it works
under a lease, and writes the answer together with the effect. A lease that ran out is taken over.
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
from service.postgres.idempotency import Answered, Claim
from service.postgres.pool import Database

__all__ = ["Answered", "Claim", "Idempotency", "fingerprint"]


@dataclass(frozen=True)
class Idempotency:
    """Claims on keys. `lease` outlasts what one request may take between two renewals."""

    database: Database
    lease: timedelta = timedelta(seconds=30)

    @asynccontextmanager
    async def claim(
        self, account_id: UUID, vmbox_id: UUID, key: str, content: bytes, plan: Any = None
    ) -> AsyncIterator[Claim | Answered]:
        """The claim to work under, or the answer that there is already.

        A refusal releases the claim; after an outage the next request goes on at once. Raises
        KeyInUse, KeyReused.
        """
        wanted = Claim(account_id=account_id, vmbox_id=vmbox_id, key=key, token=uuid4(), plan=plan)
        async with self.database.connection() as connection:
            found = await rows.claim(connection, wanted, content, self.lease)
        if isinstance(found, Answered):
            yield found
            return
        try:
            yield found
        except (NotFound, Conflict, Refused):
            with suppress(Unavailable):
                async with self.database.connection() as connection:
                    await rows.release_claim(connection, found)
            raise
        except Unavailable:
            with suppress(Unavailable):
                async with self.database.connection() as connection:
                    await rows.yield_claim(connection, found)
            raise

    async def renew(self, held: Claim) -> None:
        """Extends the lease. Raises KeyInUse when another request took over."""
        async with self.database.connection() as connection:
            await rows.renew_claim(connection, held, self.lease)

    async def answer(self, held: Claim, answer: Any) -> None:
        """Ends the claim with its answer. Raises KeyInUse when another request took over."""
        async with self.database.connection() as connection:
            await rows.answer_claim(connection, held, answer)


def fingerprint(*content: Any) -> bytes:
    """A digest of what a request asks for, whatever form it came in."""
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).digest()
