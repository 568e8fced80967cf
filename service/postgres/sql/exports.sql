-- Complete records of an account, in the order of their ids, for archives.

-- name: export_accounts
-- A page of an account and all accounts below it, parents first, after (:depth, :after).
-- Plan: accounts_by_ancestor and a sort; near the root a scan of all accounts.
SELECT {account_columns}
FROM accounts
WHERE (account_id = :account_id OR ancestors @> ARRAY[:account_id::uuid]) AND deleted_at IS NULL
    AND (cardinality(ancestors), account_id) > (:depth::integer, :after::uuid)
ORDER BY cardinality(ancestors), account_id
LIMIT :limit;

-- name: export_users
-- A page of users after :after, without credentials.
-- Plan: the primary key in order, stops when the page is full.
SELECT user_id, document
FROM users
WHERE account_id = :account_id AND user_id > :after
ORDER BY user_id
LIMIT :limit;

-- name: export_greetings
-- A page of greetings after :after.
-- Plan: the primary key in order, stops when the page is full.
SELECT media_id, owner_id, document, audio_key, audio_type, audio_size, audio_sha256
FROM media
WHERE account_id = :account_id AND media_id > :after
ORDER BY media_id
LIMIT :limit;

-- name: export_vmboxes
-- A page of boxes after :after, also of those that were deleted after :deleted_after and can be restored.
-- Plan: the primary key in order, stops when the page is full; the counts row of each box by primary key.
SELECT v.vmbox_id, v.document, v.pin_sealed, c.deleted_at
FROM vmboxes AS v
CROSS JOIN LATERAL (
    SELECT b.deleted_at FROM vmbox_counts AS b
    WHERE b.account_id = :account_id AND b.vmbox_id = v.vmbox_id
        AND (b.deleted_at IS NULL OR (b.deleted_at > :deleted_after AND b.emptied_at IS NULL))
    OFFSET 0
) AS c
WHERE v.account_id = :account_id AND v.vmbox_id > :after
ORDER BY v.vmbox_id
LIMIT :limit;

-- name: export_messages
-- A page of messages with audio after (:month, :after), also those in the trash, of the boxes of export_vmboxes.
-- Plan: the primary keys of the partitions in order, stops when the page is full; each box, and the words of each
-- transcription, by primary key.
SELECT m.*, CASE WHEN m.transcription IS NOT NULL THEN (
    SELECT w.words
    FROM transcription_words AS w
    WHERE w.account_id = :account_id AND w.month = m.month AND w.message_id = m.id
) END AS words
FROM messages AS m
JOIN vmbox_counts AS c
    ON c.account_id = :account_id AND c.vmbox_id = m.vmbox_id
    AND (c.deleted_at IS NULL OR (c.deleted_at > :deleted_after AND c.emptied_at IS NULL))
WHERE m.account_id = (SELECT :account_id::uuid) AND m.month >= :month
    AND (m.month, m.id) > (:month::integer, :after::uuid)
    AND m.audio_key IS NOT NULL AND NOT m.moved
ORDER BY m.month, m.id
LIMIT (SELECT :limit::bigint);

-- name: count_exported_messages
-- The number of messages that export_messages returns in all pages.
-- Plan: all messages of the account.
SELECT count(*)
FROM messages AS m
JOIN vmbox_counts AS c
    ON c.account_id = :account_id AND c.vmbox_id = m.vmbox_id
    AND (c.deleted_at IS NULL OR (c.deleted_at > :deleted_after AND c.emptied_at IS NULL))
WHERE m.account_id = :account_id AND m.audio_key IS NOT NULL AND NOT m.moved;
