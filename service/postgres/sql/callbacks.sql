-- name: is_callback_pending
-- True when a callback task runs for :target. The caller must hold the lock of the box.
-- Plan: callbacks_pending.
SELECT EXISTS (
    SELECT FROM deliveries
    WHERE account_id = :account_id AND target = :target AND channel = 'callback'
        AND status = 'pending'
);

-- name: request_callback
-- Appends the event callback.requested while the box has a new message. No row when it has none.
-- Plan: the counts row by primary key.
WITH locked AS MATERIALIZED (
    SELECT sequence
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at IS NULL AND new_count > 0
    FOR NO KEY UPDATE
), counts AS (
    UPDATE vmbox_counts AS c
    SET sequence = locked.sequence + 1
    FROM locked
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count
), event AS (
    SELECT c.*, NULL::integer AS month, NULL::uuid AS message_id, 'callback.requested' AS type,
        jsonb_build_object(
            'number', :number::text,
            'attempt', :attempt::integer,
            'timeout_s', :timeout_s::integer,
            'message', :message::jsonb) AS data
    FROM counts AS c
), {append_event}
SELECT sequence FROM counts;
