-- name: ensure_month
-- Creates the partition of a month. False when it exists.
SELECT ensure_month(:month);

-- name: ensure_outbox_day
-- Creates the outbox partition of a day. False when it exists.
SELECT ensure_outbox_day(:day);

-- name: ensure_audit_month
-- Creates the audit partition of a month. False when it exists.
SELECT ensure_audit_month(:month);
