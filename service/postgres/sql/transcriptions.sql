-- name: transcribe_message
-- Stores the transcription of that audio and appends its event; no row when the message has other
-- audio by now, or it or its box is gone. The counts stay as they are.
-- Plan: the counts row and the message by primary key, one partition.
WITH box AS MATERIALIZED (
    SELECT sequence
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2 AND deleted_at IS NULL
    FOR NO KEY UPDATE
), message AS (
    UPDATE messages AS m
    SET transcription = $6, changed_at = now()
    FROM box
    WHERE m.account_id = $1 AND m.month = $3 AND m.id = $4 AND m.vmbox_id = $2
        AND num_nulls(m.removed_at) = 1 AND m.audio_key = $5
    RETURNING m.*
), counts AS (
    UPDATE vmbox_counts AS c
    SET sequence = box.sequence + 1
    FROM box, message
    WHERE c.account_id = $1 AND c.vmbox_id = $2
    RETURNING c.mailbox, c.sequence, c.new_count, c.saved_count
)
INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
SELECT $1, $2, c.sequence, d.epoch, 'message.transcribed',
    event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
    || jsonb_build_object(
        'message', event_message(m.month, m.id, m.folder, m.received_at, m.length_ms,
            m.caller_id_number, m.caller_id_name, m.call_id, m.from_uri, m.to_uri)
            || jsonb_build_object('transcription', m.transcription)),
    $7
FROM counts AS c CROSS JOIN deployment AS d CROSS JOIN message AS m
RETURNING sequence;
