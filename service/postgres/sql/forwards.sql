-- name: list_forward_targets
-- The boxes among :vmbox_ids that exist, with the format that they record.
-- Plan: each box by primary key.
SELECT v.vmbox_id, coalesce(v.document ->> 'media_extension', 'mp3') AS media_extension
FROM vmboxes AS v
WHERE v.account_id = :account_id AND v.vmbox_id = ANY(:vmbox_ids::uuid[]) AND v.deleted_at IS NULL;

-- name: forward_message
-- Stores the message of a forwarding under a new id, after its audio was stored. The original must still have the
-- audio that was read. A full box gets no message. A repeated request uses the ids of its first run.
-- Plan: the counts row of the target and the original by primary key, two partitions; with a quota the stored bytes
-- of the account.
WITH locked AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, stored_bytes, sequence, deleted_at,
        coalesce(max_message_count, :account_max_message_count::integer) AS max_message_count
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :target_id
    FOR NO KEY UPDATE
), source AS MATERIALIZED (
    SELECT m.*
    FROM locked, messages AS m
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1 AND m.audio_key = :source_key
    FOR SHARE OF m
), decision AS MATERIALIZED (
    SELECT locked.*,
        CASE
            WHEN deleted_at IS NOT NULL THEN 'vmbox_not_found'
            WHEN NOT EXISTS (SELECT FROM source) THEN 'conflict'
            WHEN max_message_count > 0 AND new_count + saved_count >= max_message_count THEN 'full'
            WHEN :max_stored_bytes::bigint IS NOT NULL
                AND {stored_bytes} + :audio_size::bigint > :max_stored_bytes THEN 'quota_exceeded'
            ELSE 'done'
        END AS outcome
    FROM locked
), added AS (
    INSERT INTO messages (
        account_id, month, id, vmbox_id, folder, counted, received_at, length_ms,
        caller_id_number, caller_id_name, call_id, from_uri, to_uri,
        audio_key, audio_type, audio_size, audio_sha256, transcription, forwarded
    )
    SELECT :account_id, :new_month, :new_id, :target_id, 'new', true, :now, :length_ms,
        s.caller_id_number, s.caller_id_name, s.call_id, s.from_uri,
        d.mailbox || '@' || :realm::text,
        :audio_key, :audio_type, :audio_size, :audio_sha256,
        -- A comment is not part of the transcription.
        CASE WHEN s.audio_sha256 = :audio_sha256 THEN s.transcription END, :forwarded::jsonb
    FROM decision AS d CROSS JOIN source AS s
    WHERE d.outcome = 'done'
    ON CONFLICT (account_id, month, id) DO NOTHING
    RETURNING *
), copied_words AS (
    INSERT INTO transcription_words (account_id, month, message_id, words)
    SELECT :account_id, :new_month, :new_id, w.words
    FROM added AS n, transcription_words AS w
    WHERE n.transcription IS NOT NULL AND w.account_id = :account_id AND w.month = :month
        AND w.message_id = :message_id
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = d.new_count + 1, stored_bytes = d.stored_bytes + m.audio_size,
        sequence = d.sequence + 1
    FROM decision AS d CROSS JOIN added AS m
    WHERE c.account_id = :account_id AND c.vmbox_id = :target_id
    RETURNING c.*, c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, m.month, m.id AS message_id,
        'message.new' AS type,
        jsonb_build_object(
            'message', {event_message},
            'origin', jsonb_build_object(
                'reason', 'forwarded',
                'vmbox_id', hex(:vmbox_id::uuid),
                'media_id', :month::integer::text || '-' || hex(:message_id::uuid))) AS data
    FROM counts AS c CROSS JOIN added AS m
), {count_bytes}, {append_event}
SELECT outcome FROM decision;
