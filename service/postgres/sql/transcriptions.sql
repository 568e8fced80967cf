-- Transcriptions of messages, and their words.

-- name: transcribe_message
-- Stores a transcription with its words and appends the event. No row when the message no longer has the audio
-- :audio_key, or the message or its box was removed. The counts do not change. Without :words, the words of an
-- earlier transcription are deleted.
-- Plan: the counts row, the message and its words by primary key, one partition.
WITH locked AS MATERIALIZED (
    SELECT sequence
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at IS NULL
    FOR NO KEY UPDATE
), message AS (
    UPDATE messages AS m
    SET transcription = :transcription, transcription_requested_at = NULL, changed_at = now()
    FROM locked
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1 AND m.audio_key = :audio_key
    RETURNING m.*
), added_words AS (
    INSERT INTO transcription_words (account_id, month, message_id, words)
    SELECT m.account_id, m.month, m.id, :words::json
    FROM message AS m
    WHERE :words IS NOT NULL
    ON CONFLICT (account_id, month, message_id) DO UPDATE SET words = EXCLUDED.words
), removed_words AS (
    DELETE FROM transcription_words AS w
    USING message
    WHERE w.account_id = :account_id AND w.month = :month AND w.message_id = :message_id
        AND :words IS NULL
), counts AS (
    UPDATE vmbox_counts AS c
    SET sequence = locked.sequence + 1
    FROM locked, message
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count
), event AS (
    SELECT c.*, m.month, m.id AS message_id, 'message.transcribed' AS type,
        jsonb_build_object(
            'message',
            {event_message} || jsonb_build_object('transcription', m.transcription)) AS data
    FROM counts AS c CROSS JOIN message AS m
), {append_event}
SELECT sequence FROM counts;

-- name: get_transcription_words
-- The words of a transcription with their times; no row when there are none.
SELECT words
FROM transcription_words
WHERE account_id = :account_id AND month = :month AND message_id = :message_id;
