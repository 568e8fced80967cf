"""Isolation of accounts: conditions of statements, content of keys, rights of the role."""

import re
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from service.domain.errors import MonthNotAllowed
from service.domain.message import month_after, month_of
from service.postgres.months import ensure_month, ensure_outbox_day
from service.postgres.pool import Database
from service.postgres.sql import Statement, load
from tests.support.builders import NOW

# Tables of the deployment as a whole. Every other table belongs to accounts.
SYSTEM = {
    "accounts",
    "api_keys",
    "channels",
    "deployment",
    "keeper_steps",
    "migrations",
    "partition_window",
    "relay_buckets",
    "relay_state",
    "revoked_tokens",
    "user_epochs",
}

PAGE = Path(__file__).parents[2] / "migrations" / "README.md"

# Statements that go through all accounts, on purpose: the relay reads the outbox in order, the
# keeper looks for what is due, metrics count what waits, and an operator replaces encryption keys.
OVER_ALL_ACCOUNTS = {
    # All accounts of a move.
    "account_moves.suspend_deliveries",
    "account_moves.resume_deliveries",
    "account_moves.lock_boxes_of_move",
    "deliveries.delete_old_deliveries",
    "erasures.list_unfinished",
    "expiry.list_expired",
    "expiry.list_expired_deleted",
    "feed.feed_state",
    "feed.tail_feed",
    "export_jobs.find_pending_export",
    "export_jobs.list_old_exports",
    "holds.is_month_held",
    "keeper.count_boxes",
    "keeper.delete_old_claims",
    "keeper.list_abandoned",
    "keeper.list_boxes_to_empty",
    "keeper.purge_boxes",
    "keeper.recount_boxes",
    "lamps.list_lamp_keys",
    "old_partitions.count_month",
    "old_partitions.has_messages",
    "old_partitions.is_day_published",
    "old_partitions.is_month_overdue",
    "outbox.mark_unsent_between",
    "outbox.mark_unsent_from",
    "outbox.get_republication",
    "outbox.mark_sent",
    "outbox.read_unsent",
    "outbox.read_outbox_head",
    "database_metrics.count_dead_deliveries",
    "database_metrics.read_delivery_backlogs",
    "database_metrics.read_outbox_backlog",
    "database_metrics.read_shard_lags",
    "sealed_secrets.count_sealed_pins",
    "sealed_secrets.count_sealed_webhook_secrets",
    "sealed_secrets.list_pins_to_reseal",
    "sealed_secrets.list_webhook_secrets_to_reseal",
    "verification.list_greeting_audio",
    "verification.list_message_audio",
    "webhooks.delete_ended_webhooks",
    "webhooks.delete_old_attempts",
}

_STATEMENTS = {
    f"{entry.name.removesuffix('.sql')}.{name}": statement
    for entry in files("service.postgres.sql").iterdir()
    if entry.name.endswith(".sql") and entry.name != "fragments.sql"
    for name, statement in load(entry.name.removesuffix(".sql")).items()
}
_KEYS = """
SELECT t.relname AS table, i.indexrelid::regclass::text AS key,
    array_agg(a.attname::text) AS columns
FROM pg_index AS i
JOIN pg_class AS t ON t.oid = i.indrelid AND NOT t.relispartition
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE t.relnamespace = 'public'::regnamespace AND i.indisunique
GROUP BY t.relname, i.indexrelid
"""


async def tenant_tables(inspector: asyncpg.Connection) -> set[str]:
    rows = await inspector.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    return {row["relname"] for row in rows} - SYSTEM


def unguarded(statement: Statement, tables: set[str]) -> list[str]:
    """Returns the mentions of tenant tables in a statement without a condition on the account."""
    text = re.sub(r"--.*", "", statement.text)
    parameters = dict(zip(statement.parameters, count(1)))
    account = rf"\${parameters.get('account_id', 0)}\b"
    mention = re.compile(
        rf"(FROM|JOIN|UPDATE|INTO|USING|,)\s+({'|'.join(sorted(tables))})\b(?:\s+AS\s+(\w+))?"
        r"(\s*\(\s*account_id\b)?"
    )
    bad = []
    for verb, table, alias, columns in mention.findall(text):
        named = rf"\b{alias}\.account_id = " if alias else rf"(?<![.\w])account_id = {account}"
        if not (columns if verb == "INTO" else re.search(named, text)):
            bad.append(f"{verb} {table}")
    return bad


async def test_every_statement_on_a_tenant_table_names_the_account(
    inspector: asyncpg.Connection,
) -> None:
    tables = await tenant_tables(inspector)
    bad = {name for name, statement in _STATEMENTS.items() if unguarded(statement, tables)}
    assert bad == OVER_ALL_ACCOUNTS


def test_a_statement_without_the_account_is_reported() -> None:
    tables = {"messages", "vmbox_counts"}
    for statement in (
        "SELECT m.* FROM messages AS m WHERE m.id = :id",
        "SELECT * FROM messages WHERE m.account_id = :account_id",
        "SELECT FROM box, messages AS m WHERE box.account_id = :account_id",
        "SELECT * FROM messages WHERE account_id = :vmbox_id",
        "UPDATE messages SET folder = :folder",
        "INSERT INTO messages (id) SELECT :id",
        "DELETE FROM vmbox_counts AS c USING messages AS m WHERE c.account_id = :account_id",
    ):
        assert unguarded(Statement(statement), tables), statement


async def test_no_statement_on_a_tenant_table_joins_accounts(
    inspector: asyncpg.Connection,
) -> None:
    tables = await tenant_tables(inspector)
    for name, statement in _STATEMENTS.items():
        text = re.sub(r"--.*", "", statement.text)
        mentioned = {table for table in tables if re.search(rf"\b{table}\b", text)}
        assert not (mentioned and re.search(r"\baccounts\b", text)), name


async def test_every_key_of_a_tenant_table_contains_the_account(
    inspector: asyncpg.Connection,
) -> None:
    tables = await tenant_tables(inspector)
    keys = [row for row in await inspector.fetch(_KEYS) if row["table"] in tables]
    assert {row["table"] for row in keys} == tables
    assert [row["key"] for row in keys if "account_id" not in row["columns"]] == []


async def test_the_role_of_the_service_owns_nothing(inspector: asyncpg.Connection) -> None:
    owned = await inspector.fetchval(
        """
        SELECT count(*)
        FROM (
            SELECT relowner FROM pg_class UNION ALL SELECT proowner FROM pg_proc
            UNION ALL SELECT nspowner FROM pg_namespace UNION ALL SELECT typowner FROM pg_type
        ) AS object (owner)
        WHERE owner = 'aftertone'::regrole
        """
    )
    assert owned == 0


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql RETURN 1",
        "CREATE SCHEMA mine",
        "ALTER TABLE vmboxes ADD COLUMN mine integer",
        "CREATE INDEX ON vmboxes (name)",
        "DROP TABLE vmboxes",
        "TRUNCATE vmboxes",
        "CREATE OR REPLACE FUNCTION ensure_month(wanted integer) RETURNS boolean"
        " LANGUAGE sql RETURN true",
        "SELECT * FROM migrations",
        "UPDATE partition_window SET oldest_month = 197001",
        "INSERT INTO partition_window DEFAULT VALUES",
        "DELETE FROM partition_window",
        "SELECT check_partition_window(now()::date, now()::date)",
        "UPDATE audit SET action = 'mine'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "INSERT INTO migrations (number, name, sha256) VALUES (9, 'mine', '')",
        f"TABLE audit_{month_of(NOW)}",
        f"TABLE outbox_{NOW:%Y%m%d}",
        f"TRUNCATE messages_{month_of(NOW)}",
        f"DROP TABLE messages_{month_of(NOW)}",
    ],
)
async def test_the_role_of_the_service_may_not(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_only_the_role_of_the_service_may_create_partitions(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        assert await ensure_month(connection, 201205)
        assert not await ensure_month(connection, 201205)
    owner = await inspector.fetchval(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'messages_201205'"
    )
    assert owner == "aftertone_owner"
    for function in (
        "ensure_month(integer)",
        "ensure_outbox_day(date)",
        "ensure_audit_month(integer)",
    ):
        assert not await inspector.fetchval(
            "SELECT has_function_privilege('public', $1::text, 'EXECUTE')", function
        )


async def test_the_role_of_the_service_cannot_create_partitions_outside_the_window(
    database: Database, inspector: asyncpg.Connection
) -> None:
    now = datetime.now(UTC)
    too_late = month_after(month_of(now), 6)
    async with database.connection() as connection:
        for month in (too_late, 200912, 999912):
            with pytest.raises(MonthNotAllowed):
                await ensure_month(connection, month)
        for day in (date(2009, 12, 31), now.date() + timedelta(days=60)):
            with pytest.raises(asyncpg.InvalidParameterValueError, match="partition outside of"):
                await ensure_outbox_day(connection, day)
        assert await ensure_month(connection, 201001)
        await ensure_month(connection, month_after(month_of(now), 4))

        await inspector.execute("UPDATE partition_window SET oldest_month = NULL")
        assert await ensure_month(connection, month_after(month_of(now), -24))
        with pytest.raises(MonthNotAllowed):
            await ensure_month(connection, month_after(month_of(now), -27))
    assert await ensure_month(inspector, too_late)


def test_the_schema_page_names_every_table() -> None:
    of_accounts, of_system = PAGE.read_text().split("*tenant tables*")[1].split("*Directory")
    made = "".join(file.read_text() for file in sorted(PAGE.parent.glob("*.sql")))

    assert set(re.findall(r"`(\w+)`", of_system)) == SYSTEM
    assert (
        set(re.findall(r"`(\w+)`", of_accounts)) - {"account_id"}
        == set(re.findall(r"^CREATE TABLE (\w+)", made, re.MULTILINE)) - SYSTEM
    )
