-- name: get_rendition
-- One rendition of an original.
SELECT key, size, sha256
FROM renditions
WHERE account_id = :account_id AND audio_key = :audio_key AND format = :format;

-- name: insert_rendition
-- Inserts a rendition. The number of rows is 0 if another process has inserted the rendition first.
INSERT INTO renditions (account_id, audio_key, format, key, size, sha256)
VALUES (:account_id, :audio_key, :format, :key, :size, :sha256)
ON CONFLICT (account_id, audio_key, format) DO NOTHING
RETURNING key;

-- name: delete_renditions
-- Deletes renditions, given by account and original. A row with a key is the rendition with this key; without a key,
-- it is all renditions of the original. Returns the keys of their objects.
-- Plan: the renditions of each original by primary key.
DELETE FROM renditions AS r
USING unnest(:account_ids::uuid[], :audio_keys::text[], :keys::text[]) AS o (account_id, audio_key, key)
WHERE r.account_id = o.account_id AND r.audio_key = o.audio_key AND (o.key IS NULL OR r.key = o.key)
RETURNING r.key;

-- name: evict_renditions
-- Deletes the oldest renditions of an account until the others have at most :max_bytes. The newest one stays. Returns
-- the keys of their objects.
-- Plan: the renditions of the account by renditions_by_age, backwards; the deleted ones by primary key.
WITH total AS MATERIALIZED (
    SELECT r.audio_key, r.format,
        sum(r.size) OVER newest_first AS bytes,
        row_number() OVER newest_first AS rank
    FROM renditions AS r
    WHERE r.account_id = :account_id
    WINDOW newest_first AS (ORDER BY r.created_at DESC, r.audio_key, r.format)
)
DELETE FROM renditions AS r
USING total AS t
WHERE r.account_id = :account_id AND r.audio_key = t.audio_key AND r.format = t.format
    AND t.bytes > :max_bytes AND t.rank > 1
RETURNING r.key;

-- name: normalize_message
-- Replaces the audio of a message by the same audio in another format, unless the message is held, and appends the
-- event. The transcription stays; facts about the audio are measured again. No row when the message no longer has the
-- audio :replaced_key, or the message or its box was removed.
-- Plan: the counts row and the message by primary key, one partition.
WITH locked AS MATERIALIZED (
    SELECT sequence, stored_bytes
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at IS NULL
    FOR NO KEY UPDATE
), message_before AS MATERIALIZED (
    SELECT m.id, m.audio_size
    FROM locked, messages AS m
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1 AND m.audio_key = :replaced_key
        AND NOT {is_held}
    FOR NO KEY UPDATE OF m
), message AS (
    UPDATE messages AS m
    SET audio_key = :audio_key, audio_type = :audio_type, audio_size = :audio_size,
        audio_sha256 = :audio_sha256, media = NULL, changed_at = now()
    FROM message_before AS b
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = b.id
    RETURNING m.*
), counts AS (
    UPDATE vmbox_counts AS c
    SET stored_bytes = locked.stored_bytes + m.audio_size - b.audio_size, sequence = locked.sequence + 1
    FROM locked, message_before AS b, message AS m
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count,
        c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, m.month, m.id AS message_id,
        'message.audio_replaced' AS type, jsonb_build_object('message', {event_message}) AS data
    FROM counts AS c CROSS JOIN message AS m
), {count_bytes}, {append_event}
SELECT sequence FROM counts;
