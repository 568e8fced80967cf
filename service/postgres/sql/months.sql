-- name: ensure_month
-- Creates the partition of a month. False when it exists.
SELECT ensure_month(:month);

-- name: ensure_outbox_day
-- Creates the outbox partition of a day. False when it exists.
SELECT ensure_outbox_day(:day);

-- name: ensure_audit_month
-- Creates the audit partition of a month. False when it exists.
SELECT ensure_audit_month(:month);

-- name: is_month_usable
-- True when a month has a partition that the service's role may read and write by its name.
-- Plan: one row of pg_inherits by index.
SELECT EXISTS (
    SELECT FROM pg_inherits
    WHERE inhrelid = to_regclass('messages_' || :month::integer) AND inhparent = 'messages'::regclass
        AND NOT inhdetachpending AND has_table_privilege(inhrelid, 'SELECT')
        AND has_table_privilege(inhrelid, 'INSERT') AND has_table_privilege(inhrelid, 'UPDATE')
);

-- name: plan_with_values
-- Plans the statements of this transaction with their values, so that they lock only the partitions they read.
SET LOCAL plan_cache_mode = force_custom_plan;
