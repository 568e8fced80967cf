-- Reads for the comparison of the database with the bucket. :last_account_id is the only account, or the highest
-- possible id.

-- name: estimate_audio
-- The number of messages and greetings, as the planner estimates it.
SELECT coalesce(sum(greatest(t.reltuples, 0)), 0)::bigint
FROM pg_class AS t
WHERE t.oid = 'media'::regclass
    OR t.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'messages'::regclass);

-- name: list_message_audio
-- The next messages of a month with audio, removed ones included, by account and id. `has_vmbox` is false if the
-- box does not exist.
-- Plan: the primary key of one partition, from the key on; the counts row of each message by primary key.
SELECT m.account_id, m.month, m.id, m.vmbox_id, m.audio_key, m.audio_type, m.audio_size, m.audio_sha256,
    EXISTS (
        SELECT FROM vmbox_counts AS c WHERE c.account_id = m.account_id AND c.vmbox_id = m.vmbox_id
    ) AS has_vmbox
FROM messages AS m
WHERE m.month = :month
    AND (m.account_id, m.month, m.id) > (:after_account_id::uuid, :month::integer, :after_id::uuid)
    AND m.account_id <= :last_account_id::uuid AND m.audio_key IS NOT NULL
ORDER BY m.account_id, m.month, m.id
LIMIT :limit;

-- name: list_greeting_audio
-- The next greetings with audio, by account and id.
-- Plan: the primary key, from the key on.
SELECT g.account_id, g.media_id AS id, g.audio_key, g.audio_type, g.audio_size, g.audio_sha256
FROM media AS g
WHERE (g.account_id, g.media_id) > (:after_account_id::uuid, :after_id::uuid)
    AND g.account_id <= :last_account_id::uuid AND g.audio_key IS NOT NULL
ORDER BY g.account_id, g.media_id
LIMIT :limit;

-- name: list_message_keys
-- The audio keys of messages of a month, given by account and id. No row without a message or without audio.
-- Plan: each message by primary key, one partition.
SELECT m.audio_key
FROM unnest(:account_ids::uuid[], :ids::uuid[]) AS r (account_id, id)
JOIN messages AS m ON m.account_id = r.account_id AND m.month = :month AND m.id = r.id
WHERE m.audio_key IS NOT NULL;

-- name: list_greeting_keys
-- The audio keys of greetings, given by account and id.
-- Plan: each greeting by primary key.
SELECT g.audio_key
FROM unnest(:account_ids::uuid[], :ids::uuid[]) AS r (account_id, id)
JOIN media AS g ON g.account_id = r.account_id AND g.media_id = r.id
WHERE g.audio_key IS NOT NULL;

-- name: list_account_bytes
-- The stored bytes of accounts: their total, and the sum of their boxes and greetings. One snapshot reads all.
-- Plan: the totals, boxes and greetings of each account by primary key.
SELECT a.account_id,
    (
        SELECT coalesce(sum(b.bytes), 0) FROM account_bytes AS b WHERE b.account_id = a.account_id
    )::bigint AS stored,
    (
        (SELECT coalesce(sum(c.stored_bytes), 0) FROM vmbox_counts AS c WHERE c.account_id = a.account_id)
        + (SELECT coalesce(sum(g.audio_size), 0) FROM media AS g WHERE g.account_id = a.account_id)
    )::bigint AS counted
FROM unnest(:account_ids::uuid[]) AS a (account_id);
