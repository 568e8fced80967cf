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

-- name: delete_rendition
-- Deletes the row of a rendition, given by the key of its object.
DELETE FROM renditions
WHERE account_id = :account_id AND audio_key = :audio_key AND format = :format AND key = :key;

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
