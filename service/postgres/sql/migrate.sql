-- name: create_migrations
-- The table of applied migrations.
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: lock_migrations
-- Allows one migration run at a time, in all processes.
SELECT pg_advisory_lock(hashtextextended('aftertone migrate', 0));

-- name: list_applied_migrations
-- The applied migrations, in order.
SELECT number, name, sha256 FROM migrations ORDER BY number;

-- name: record_migration
-- Records a migration as applied.
INSERT INTO migrations (number, name, sha256) VALUES (:number, :name, :sha256);

-- name: grant_to_service
-- The statements that grant the service's role its rights: it reads and writes rows, owns nothing, reads the
-- numbers of the applied migrations, and cannot change the audit. Of all partitions, statements name only those
-- of messages.
SELECT format(
        'GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I',
        string_agg(oid::regclass::text, ', '), :role::text)
    || format('; GRANT SELECT, INSERT ON audit TO %I', :role::text)
    || format(
        '; GRANT EXECUTE ON FUNCTION ensure_month(integer), ensure_outbox_day(date),'
        ' ensure_audit_month(integer) TO %I', :role::text)
    || format('; GRANT SELECT (number) ON migrations TO %I', :role::text)
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND (NOT relispartition OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'messages'::regclass))
    AND relname NOT IN ('migrations', 'partition_window', 'audit');

-- name: set_partition_window
-- Stores the oldest month of which the service's role may have a partition created. Null: 24 months ago.
UPDATE partition_window SET oldest_month = :oldest_month::integer
WHERE oldest_month IS DISTINCT FROM :oldest_month;

-- name: newest_migration
-- The number of the last applied migration, or 0.
SELECT coalesce(max(number), 0) FROM migrations;
