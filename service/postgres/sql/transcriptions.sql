-- Transcriptions of messages, and their words.

-- name: transcribe_message
-- Stores a transcription with its words and appends the event. No row when the message no longer has the audio
-- :audio_key, or the message or its box was removed. The counts do not change. Without :words, the words of an
-- earlier transcription are deleted.
-- Plan: the counts row, the message and its words by primary key, one partition.
WITH {lock_sequence}, message AS (
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
), {next_sequence}, event AS (
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

-- name: request_transcription
-- Requests a transcription: appends the event. A repeated request has no effect for :lifetime, or until the
-- transcription is stored. The counts do not change. No row without the box.
-- Plan: the counts row and the message by primary key, one partition.
WITH {lock_sequence}, message_before AS MATERIALIZED (
    SELECT m.id, m.audio_key
    FROM locked, messages AS m
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1
), message AS (
    UPDATE messages AS m
    SET transcription_requested_at = now()
    FROM message_before AS b
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND b.audio_key IS NOT NULL
        AND coalesce(m.transcription_requested_at, '-infinity') < now() - :lifetime::interval
    RETURNING m.*
), {next_sequence}, event AS (
    SELECT c.*, m.month, m.id AS message_id, 'message.transcription_requested' AS type,
        jsonb_build_object('message', {event_message}) AS data
    FROM counts AS c CROSS JOIN message AS m
), {append_event}
SELECT
    CASE
        WHEN b.id IS NULL THEN 'message_not_found'
        WHEN b.audio_key IS NULL THEN 'no_audio'
        WHEN m.id IS NULL THEN 'pending'
        ELSE 'requested'
    END AS outcome
FROM locked LEFT JOIN message_before AS b ON true LEFT JOIN message AS m ON true;

-- name: list_transcribable
-- A page of the messages of an account to transcribe, after (:after_month, :after_id), without those that were
-- requested in :lifetime. :again includes messages with a text.
-- Plan: the primary key from the cursor on, month by month, stopped after :limit rows.
SELECT m.month, m.id, m.vmbox_id
FROM messages AS m
WHERE m.account_id = (SELECT :account_id::uuid) AND m.month >= :after_month
    AND (m.month, m.id) > (:after_month::integer, :after_id::uuid)
    AND {is_transcribable}
ORDER BY m.month, m.id
LIMIT (SELECT :limit::bigint);

-- name: count_transcribable
-- The number of messages that list_transcribable returns in all pages, at most :limit.
-- Plan: all messages of the account from the first month on, stopped at :limit.
SELECT count(*)
FROM (
    SELECT
    FROM messages AS m
    WHERE m.account_id = (SELECT :account_id::uuid) AND m.month >= :after_month AND {is_transcribable}
    LIMIT (SELECT :limit::bigint)
) AS found;
