-- name: create_migrations
-- The list of what was applied.
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: lock_migrations
-- One migration run at a time, over all pods.
SELECT pg_advisory_lock(hashtextextended('aftertone migrate', 0));

-- name: applied_migrations
-- What was applied, in order.
SELECT number, name, sha256 FROM migrations ORDER BY number;

-- name: record_migration
-- Notes one migration as applied.
INSERT INTO migrations (number, name, sha256) VALUES ($1, $2, $3);

-- name: grant_to_service
-- The service's role reads and writes rows and owns nothing; of the migrations it sees how far they are.
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', string_agg(oid::regclass::text, ', '), $1::text)
    || format('; GRANT EXECUTE ON FUNCTION ensure_month(integer), ensure_outbox_day(date) TO %I', $1::text)
    || format('; GRANT SELECT (number) ON migrations TO %I', $1::text)
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'migrations';

-- name: newest_migration
-- The number of the last migration that was applied.
SELECT coalesce(max(number), 0) FROM migrations;
