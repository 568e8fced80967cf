-- name: ensure_month
-- Makes the partition of a month unless it is there; true when it was made.
SELECT ensure_month($1);

-- name: ensure_outbox_day
-- Makes the outbox partition of a day unless it is there; true when it was made.
SELECT ensure_outbox_day($1);
