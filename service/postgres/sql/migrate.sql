-- name: create_migrations
-- The table of applied migrations.
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: lock_migrations
-- Allows one migration run at a time, in all processes. False while another process has the lock. It does not wait:
-- CREATE INDEX CONCURRENTLY waits for all statements that run, so both processes would wait for each other.
SELECT pg_try_advisory_lock(hashtextextended('aftertone migrate', 0));

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

-- name: list_missing_indexes
-- The indexes of a partitioned table that a migration created with ON ONLY and that a partition does not have yet,
-- newest partition first: the statements that remove an index whose creation failed, create it and attach it.
SELECT p.relname AS partition,
    format('DROP INDEX CONCURRENTLY IF EXISTS %I', child) AS drop_failed,
    format('CREATE INDEX CONCURRENTLY %I ON %I %s', child, p.relname, substring(
        pg_get_indexdef(i.indexrelid) FROM ' (USING .*)$')) AS create_index,
    format('ALTER INDEX %I ATTACH PARTITION %I', x.relname, child) AS attach
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid AND x.relkind = 'I'
JOIN pg_inherits AS h ON h.inhparent = i.indrelid
JOIN pg_class AS p ON p.oid = h.inhrelid,
    format('%s_%s', x.relname, substring(p.relname FROM '[0-9]+$')) AS child
WHERE NOT i.indisvalid AND x.relnamespace = 'public'::regnamespace
    AND NOT EXISTS (
        SELECT
        FROM pg_inherits AS attached JOIN pg_index AS own ON own.indexrelid = attached.inhrelid
        WHERE attached.inhparent = i.indexrelid AND own.indrelid = p.oid
    )
ORDER BY p.relname DESC;
