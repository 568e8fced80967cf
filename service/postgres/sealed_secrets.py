"""Encrypted secrets in all tables: one function per statement of sealed_secrets.sql.

A prefix is the first bytes of a secret, which name its key.
"""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from service.domain.sealed_secret import SealedSecret, SecretPurpose
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("sealed_secrets")


class SealedCounts(msgspec.Struct, frozen=True):
    """Numbers of secrets that one key has encrypted, and of all others."""

    by_key: int
    by_others: int


async def count_sealed(
    connection: Connection, purpose: SecretPurpose, prefix: bytes
) -> SealedCounts:
    """Counts the secrets with and without a prefix, also those of deleted rows."""
    row = await _SQL[
        {
            SecretPurpose.API_KEY: "count_sealed_api_keys",
            SecretPurpose.PIN: "count_sealed_pins",
            SecretPurpose.WEBHOOK: "count_sealed_webhook_secrets",
        }[purpose]
    ].fetchrow(connection, prefix=prefix)
    assert row is not None
    return SealedCounts(row["by_key"], row["by_others"])


async def list_to_reseal(
    connection: Connection,
    purpose: SecretPurpose,
    prefix: bytes,
    after: tuple[UUID, UUID],
    limit: int,
) -> list[SealedSecret]:
    """Returns secrets without the prefix, from rows after `after` (account and row)."""
    account_id, row_id = after
    rows = await _SQL[
        {
            SecretPurpose.API_KEY: "list_api_keys_to_reseal",
            SecretPurpose.PIN: "list_pins_to_reseal",
            SecretPurpose.WEBHOOK: "list_webhook_secrets_to_reseal",
        }[purpose]
    ].fetch(connection, prefix=prefix, after_account=account_id, after_row=row_id, max_rows=limit)
    return [SealedSecret(purpose=purpose, **row) for row in rows]


async def replace_sealed(
    connection: Connection, purpose: SecretPurpose, replaced: Mapping[bytes, SealedSecret]
) -> int:
    """Replaces secrets that are still stored: old values by new ones. Returns their number."""
    return await _SQL[
        {
            SecretPurpose.API_KEY: "replace_sealed_api_keys",
            SecretPurpose.PIN: "replace_sealed_pins",
            SecretPurpose.WEBHOOK: "replace_sealed_webhook_secrets",
        }[purpose]
    ].execute(
        connection,
        account_ids=[secret.account_id for secret in replaced.values()],
        row_ids=[secret.row_id for secret in replaced.values()],
        old=list(replaced),
        new=[secret.sealed for secret in replaced.values()],
    )
