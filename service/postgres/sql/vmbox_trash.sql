-- Deleted boxes of an account, until the keeper empties them. A purge sets the time of the deletion to 1970, so
-- that a box whose messages are being removed cannot be restored.

-- name: list_vmbox_trash
-- A page of the boxes of an account that can be restored, the last deleted first.
-- Plan: boxes_in_trash backwards, the box by primary key; stops when the page is full. The account is hidden from
-- the planner, as in list_messages. OFFSET 0 prevents a join that reads all boxes of the account.
SELECT v.vmbox_id, v.name, c.mailbox, c.deleted_at
FROM vmbox_counts AS c
CROSS JOIN LATERAL (
    SELECT b.vmbox_id, b.name FROM vmboxes AS b
    WHERE b.account_id = :account_id AND b.vmbox_id = c.vmbox_id
    OFFSET 0
) AS v
WHERE c.account_id = (SELECT :account_id::uuid) AND c.emptied_at IS NULL AND c.deleted_at > :deleted_after
    AND (c.deleted_at, c.vmbox_id) <= (:start_deleted_at::timestamptz, :start_id::uuid)
ORDER BY c.deleted_at DESC, c.vmbox_id DESC
LIMIT :limit;

-- name: lock_deleted_vmbox
-- Locks a box, deleted or not, until the transaction ends. The document is null if the box cannot be restored.
-- No row without the box.
-- Plan: both rows by primary key.
SELECT c.deleted_at IS NOT NULL AS is_deleted,
    CASE
        WHEN c.deleted_at > :deleted_after AND c.deleted_at <= :deleted_until AND c.emptied_at IS NULL
            THEN v.document
    END AS document
FROM vmbox_counts AS c
JOIN vmboxes AS v ON v.account_id = :account_id AND v.vmbox_id = :vmbox_id
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
FOR NO KEY UPDATE OF c;

-- name: restore_vmbox
-- Restores a locked box with its numbers and greetings, counts its messages, and appends the event. No row if
-- its messages exceed the quota of stored bytes.
-- Plan: the messages of the box by messages_by_vmbox; box and counts row by primary key; with a quota the stored
-- bytes of the account.
WITH recounted AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE m.counted AND m.folder = 'new')::integer AS new_count,
        count(*) FILTER (WHERE m.counted AND m.folder = 'saved')::integer AS saved_count,
        count(*) FILTER (WHERE m.audio_key IS NULL)::integer AS pending_count,
        coalesce(sum(m.audio_size), 0)::bigint AS stored_bytes
    FROM messages AS m
    WHERE m.account_id = :account_id AND m.vmbox_id = :vmbox_id AND m.removed_at IS NULL
), vmbox AS (
    UPDATE vmboxes AS v
    SET deleted_at = NULL, document = :document, revision = v.revision + 1, modified_at = now()
    FROM recounted AS r
    WHERE v.account_id = :account_id AND v.vmbox_id = :vmbox_id
        AND (
            :max_stored_bytes::bigint IS NULL OR r.stored_bytes = 0
            OR {stored_bytes} + r.stored_bytes <= :max_stored_bytes
        )
    RETURNING v.*
), numbers AS (
    INSERT INTO vmbox_numbers (account_id, number, vmbox_id)
    SELECT :account_id, number, :vmbox_id FROM vmbox CROSS JOIN unnest(:numbers::text[]) AS number
), greetings AS (
    INSERT INTO vmbox_media (account_id, vmbox_id, media_id)
    SELECT :account_id, :vmbox_id, id FROM vmbox CROSS JOIN unnest(:greeting_ids::uuid[]) AS id
), counts AS (
    UPDATE vmbox_counts AS c
    SET deleted_at = NULL, new_count = r.new_count, saved_count = r.saved_count,
        pending_count = r.pending_count, stored_bytes = r.stored_bytes, sequence = c.sequence + 1
    FROM recounted AS r, vmbox
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
    RETURNING c.*, c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, NULL::integer AS month,
        NULL::uuid AS message_id, 'vmbox.restored' AS type,
        jsonb_build_object('vmbox', {event_vmbox}) AS data
    FROM counts AS c CROSS JOIN vmbox AS v
), {count_bytes}, {append_event}
SELECT vmbox_id FROM counts;

-- name: list_taken_numbers
-- The numbers among :numbers that boxes of the account have.
-- Plan: each number by primary key.
SELECT number FROM vmbox_numbers WHERE account_id = :account_id AND number = ANY(:numbers::text[]);

-- name: begin_purge
-- Makes up to :limit deleted boxes, with :vmbox_ids only of those, impossible to restore. The keeper continues an
-- interrupted purge. The change is written to the audit only.
-- Plan: boxes_in_trash or boxes_to_empty of the account, which is hidden from the planner; rows by primary key.
WITH due AS MATERIALIZED (
    SELECT c.vmbox_id
    FROM vmbox_counts AS c
    WHERE c.account_id = (SELECT :account_id::uuid) AND c.emptied_at IS NULL AND c.deleted_at > 'epoch'
        AND (:vmbox_ids::uuid[] IS NULL OR c.vmbox_id = ANY(:vmbox_ids))
    ORDER BY c.vmbox_id
    LIMIT :limit
    FOR NO KEY UPDATE
), counts AS (
    UPDATE vmbox_counts AS c
    SET deleted_at = 'epoch'
    WHERE c.account_id = :account_id AND c.vmbox_id = ANY(ARRAY(SELECT vmbox_id FROM due))
    RETURNING c.vmbox_id
), event AS (
    SELECT c.vmbox_id, NULL AS mailbox, NULL::bigint AS sequence, NULL::integer AS new_count,
        NULL::integer AS saved_count, NULL::integer AS month, NULL::uuid AS message_id,
        'vmbox.purged' AS type, NULL::jsonb AS data
    FROM counts AS c
), {append_event}
SELECT vmbox_id FROM counts;

-- name: delete_emptied_vmbox
-- Deletes an emptied box unless held messages are left.
-- Plan: box and counts row by primary key; the first entry of messages_in_trash of each partition.
WITH due AS MATERIALIZED (
    SELECT c.vmbox_id
    FROM vmbox_counts AS c
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.emptied_at IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM messages AS m
            WHERE m.account_id = (SELECT :account_id::uuid) AND m.vmbox_id = :vmbox_id
                AND m.removed_at IS NOT NULL
            OFFSET 0
        )
    FOR UPDATE
), vmbox AS (
    DELETE FROM vmboxes AS v
    USING due
    WHERE v.account_id = :account_id AND v.vmbox_id = :vmbox_id
)
DELETE FROM vmbox_counts AS c
USING due
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id;
