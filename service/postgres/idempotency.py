"""Claims on idempotency keys: one function per statement of idempotency.sql."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from service.domain.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("idempotency")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Lease on the request of a key. `plan` is the plan of its first run."""

    account_id: UUID
    vmbox_id: UUID
    key: str
    token: UUID
    plan: Any = None

    def values(self) -> dict[str, Any]:
        """Returns the parameters that select the claim."""
        return {
            "account_id": self.account_id,
            "vmbox_id": self.vmbox_id,
            "key": self.key,
            "token": self.token,
        }


class CompletedRequest(msgspec.Struct, frozen=True):
    """Answer of a request that was completed before."""

    answer: Any


async def claim(
    connection: Connection, request: Claim, fingerprint: bytes, lease: timedelta
) -> Claim | CompletedRequest:
    """Claims the key of `request`, or returns the answer of a completed request.

    Raises IdempotencyKeyInUse while another request runs, IdempotencyKeyReused for other content.
    """
    row = None
    while row is None:
        # No row: another request claimed or released the key while this statement ran.
        row = await _SQL["claim"].fetchrow(
            connection, **request.values(), fingerprint=fingerprint, lease=lease, plan=request.plan
        )
    match row["state"]:
        case "claimed":
            return msgspec.structs.replace(request, plan=row["plan"])
        case "completed":
            return CompletedRequest(row["answer"])
        case "running":
            raise IdempotencyKeyInUse
        case _:
            raise IdempotencyKeyReused


async def renew_claim(connection: Connection, claim: Claim, lease: timedelta) -> None:
    """Extends the lease. Raises IdempotencyKeyInUse when another request took over."""
    renewed = await _SQL["renew_claim"].fetchval(connection, **claim.values(), lease=lease)
    if not renewed:
        raise IdempotencyKeyInUse


async def complete_claim(connection: Connection, claim: Claim, answer: Any) -> None:
    """Stores the answer. Raises IdempotencyKeyInUse when another request took over."""
    completed = await _SQL["complete_claim"].fetchval(connection, **claim.values(), answer=answer)
    if not completed:
        raise IdempotencyKeyInUse


async def expire_claim(connection: Connection, claim: Claim) -> None:
    """Ends the lease, so that the next request with this key continues at once."""
    await _SQL["expire_claim"].execute(connection, **claim.values())


async def release_claim(connection: Connection, claim: Claim) -> None:
    """Deletes a claim."""
    await _SQL["release_claim"].execute(connection, **claim.values())
