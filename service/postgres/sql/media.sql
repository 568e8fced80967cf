-- name: measure_message
-- Stores the facts and the outline of an audio and appends the event. :duration_ms replaces a length of 1 ms, which
-- means unknown, and :computed_length_ms, which was computed from the container; other lengths were sent by a
-- client. No row when the message no longer has the audio :audio_key, or the message or its box was removed. The
-- counts do not change.
-- Plan: the counts row, the message and its outline by primary key, one partition.
WITH {lock_sequence}, message AS (
    UPDATE messages AS m
    SET media = :facts,
        length_ms = CASE
            WHEN m.length_ms IN (1, :computed_length_ms::integer) THEN greatest(:duration_ms::integer, 1)
            ELSE m.length_ms
        END,
        changed_at = now()
    FROM locked
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1 AND m.audio_key = :audio_key
    RETURNING m.*
), waveform AS (
    INSERT INTO waveforms AS w (account_id, month, message_id, audio_key, duration_ms, peaks)
    SELECT m.account_id, m.month, m.id, m.audio_key, :duration_ms, :peaks
    FROM message AS m
    ON CONFLICT (account_id, month, message_id) DO UPDATE
    SET audio_key = EXCLUDED.audio_key, duration_ms = EXCLUDED.duration_ms, peaks = EXCLUDED.peaks
), {next_sequence}, event AS (
    SELECT c.*, m.month, m.id AS message_id, 'message.measured' AS type,
        jsonb_build_object(
            'message', {event_message} || jsonb_build_object('media', m.media)) AS data
    FROM counts AS c CROSS JOIN message AS m
), {append_event}
SELECT sequence FROM counts;

-- name: get_waveform
-- The outline of an audio of a message, if it was stored.
-- Plan: by primary key.
SELECT w.duration_ms, w.peaks
FROM waveforms AS w
WHERE w.account_id = :account_id AND w.month = :month AND w.message_id = :message_id
    AND w.audio_key = :audio_key;

-- name: save_waveform
-- Stores the outline of an audio, unless the message was removed or no longer has it. The lock makes a removal wait,
-- so that the deletion of the message sees the outline.
-- Plan: the message and its outline by primary key, one partition.
WITH message AS MATERIALIZED (
    SELECT m.account_id, m.month, m.id, m.audio_key
    FROM messages AS m
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1 AND m.audio_key = :audio_key
    FOR NO KEY UPDATE
)
INSERT INTO waveforms AS w (account_id, month, message_id, audio_key, duration_ms, peaks)
SELECT m.account_id, m.month, m.id, m.audio_key, :duration_ms, :peaks
FROM message AS m
ON CONFLICT (account_id, month, message_id) DO UPDATE
SET audio_key = EXCLUDED.audio_key, duration_ms = EXCLUDED.duration_ms, peaks = EXCLUDED.peaks;

-- name: delete_waveform
-- Deletes the outline of a replaced audio of a message.
-- Plan: by primary key.
DELETE FROM waveforms AS w
WHERE w.account_id = :account_id AND w.month = :month AND w.message_id = :message_id
    AND w.audio_key = :audio_key;
