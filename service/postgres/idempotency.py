"""Claims on idempotency keys: rows <-> domain; one function per statement of idempotency.sql."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from service.domain.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("idempotency")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on a request until the lease ends; `plan` is that of its first run."""

    account_id: UUID
    vmbox_id: UUID
    key: str
    token: UUID
    plan: Any = None


class Answered(msgspec.Struct, frozen=True):
    """The request was done before; this was its answer."""

    answer: Any


async def claim(
    connection: Connection, wanted: Claim, fingerprint: bytes, lease: timedelta
) -> Claim | Answered:
    """Takes a key. Raises KeyInUse while somebody works on it, KeyReused for other content."""
    row = None
    while row is None:
        # No row: another request claimed or freed the key while this statement ran. Look again.
        row = await connection.fetchrow(
            _SQL["claim"],
            wanted.account_id,
            wanted.vmbox_id,
            wanted.key,
            fingerprint,
            wanted.token,
            lease,
            wanted.plan,
        )
    match row["state"]:
        case "claimed":
            return msgspec.structs.replace(wanted, plan=row["plan"])
        case "answered":
            return Answered(row["answer"])
        case "running":
            raise IdempotencyKeyInUse
        case _:
            raise IdempotencyKeyReused


async def renew_claim(connection: Connection, held: Claim, lease: timedelta) -> None:
    """Extends the lease. Raises KeyInUse when somebody else took over."""
    if not await connection.fetchval(_SQL["renew_claim"], *_named(held), lease):
        raise IdempotencyKeyInUse


async def answer_claim(connection: Connection, held: Claim, answer: Any) -> None:
    """Ends a claim with its answer. Raises KeyInUse when somebody else took over."""
    if not await connection.fetchval(_SQL["answer_claim"], *_named(held), answer):
        raise IdempotencyKeyInUse


async def yield_claim(connection: Connection, held: Claim) -> None:
    """Lets the next request under this key go on at once."""
    await connection.execute(_SQL["yield_claim"], *_named(held))


async def release_claim(connection: Connection, held: Claim) -> None:
    """Forgets a claim."""
    await connection.execute(_SQL["release_claim"], *_named(held))


def _named(held: Claim) -> tuple[UUID, UUID, str, UUID]:
    return held.account_id, held.vmbox_id, held.key, held.token
