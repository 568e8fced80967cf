-- name: callback_pending
-- Whether a task runs for this target. Asked while its box is held, in a statement of its own.
-- Plan: callbacks_pending.
SELECT EXISTS (
    SELECT FROM deliveries
    WHERE account_id = $1 AND target = $2 AND channel = 'callback' AND status = 'pending'
);

-- name: request_callback
-- Appends the request for a call while the box has a new message; no row when it has none.
-- Plan: the counts row by primary key.
WITH box AS MATERIALIZED (
    SELECT sequence
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2 AND deleted_at IS NULL AND new_count > 0
    FOR NO KEY UPDATE
), counts AS (
    UPDATE vmbox_counts AS c
    SET sequence = box.sequence + 1
    FROM box
    WHERE c.account_id = $1 AND c.vmbox_id = $2
    RETURNING c.*
)
INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
SELECT $1, $2, c.sequence, d.epoch, 'callback.requested',
    event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
    || jsonb_build_object(
        'number', $3::text,
        'attempt', $4::integer,
        'timeout_s', $5::integer,
        'message', $6::jsonb),
    $7
FROM counts AS c CROSS JOIN deployment AS d
RETURNING sequence;
