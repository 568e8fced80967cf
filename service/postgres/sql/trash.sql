-- Removed messages of a box, until the keeper purges them.

-- name: get_time
-- The time of the database, by which removals are recorded.
SELECT now();

-- name: list_trash
-- A page of the messages of a box that can be restored, the last removed first: no row without the box, a row
-- of nulls when the page is empty.
-- Plan: a merge over messages_in_trash of all partitions that stops when the page is full. The limit and the
-- account are hidden from the planner, as in list_messages.
SELECT page.*
FROM vmbox_counts AS c
LEFT JOIN LATERAL (
    SELECT m.*
    FROM messages AS m
    WHERE m.account_id = (SELECT :account_id::uuid) AND m.vmbox_id = :vmbox_id
        AND (m.removed_at, m.month, m.id)
            <= (:start_removed_at::timestamptz, :start_month::integer, :start_id::uuid)
        AND m.removed_at > :removed_after AND m.received_at >= :retained_since
        AND m.audio_key IS NOT NULL AND NOT m.moved
    ORDER BY m.removed_at DESC, m.month DESC, m.id DESC
    LIMIT (SELECT :limit::bigint)
) AS page ON true
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL;

-- name: restore_messages
-- Restores removed messages of a box to their folders, under one lock. Each event carries the counts after it.
-- A message that is in the box already is not changed. Messages that exceed the quota stay in the trash, as
-- do those after them. One row per requested message, in order.
-- Plan: the counts row by primary key, the partitions of :distinct_months, rows by primary key; with a quota
-- the stored bytes of the account.
WITH locked AS MATERIALIZED (
    SELECT vmbox_id, mailbox, new_count, saved_count, stored_bytes, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), requested AS MATERIALIZED (
    SELECT r.month, r.id, r.position
    FROM unnest(:months::integer[], :message_ids::uuid[]) WITH ORDINALITY AS r (month, id, position)
), message_before AS MATERIALIZED (
    SELECT r.position, m.month, m.id, m.removed_at, m.received_at, m.audio_key, m.audio_size, m.moved
    FROM locked, requested AS r, messages AS m
    WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
        AND m.id = ANY(:message_ids::uuid[]) AND m.month = r.month AND m.id = r.id
        AND m.vmbox_id = :vmbox_id AND locked.deleted_at IS NULL
    FOR NO KEY UPDATE OF m
), checked AS MATERIALIZED (
    SELECT b.*,
        CASE
            WHEN b.removed_at IS NULL THEN 'done'
            WHEN b.audio_key IS NULL OR b.moved OR b.removed_at <= :removed_after
                OR b.removed_at > :removed_until::timestamptz THEN 'message_not_found'
            WHEN b.received_at < :retained_since THEN 'expired'
            -- Unless the update below restores it.
            ELSE 'quota_exceeded'
        END AS outcome
    FROM message_before AS b
), accepted AS MATERIALIZED (
    SELECT position, month, id,
        sum(audio_size) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS bytes
    FROM checked
    WHERE outcome = 'quota_exceeded'
), message AS (
    UPDATE messages AS m
    SET removed_at = NULL, changed_at = now(), counted = true
    FROM accepted AS a
    WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
        AND m.id = ANY(:message_ids::uuid[]) AND m.month = a.month AND m.id = a.id
        AND (:max_stored_bytes::bigint IS NULL OR {stored_bytes} + a.bytes <= :max_stored_bytes)
    RETURNING a.position, m.*
), step AS (
    SELECT m.*,
        count(*) OVER up_to_here AS step,
        count(*) FILTER (WHERE m.folder = 'new') OVER up_to_here AS in_new,
        count(*) FILTER (WHERE m.folder = 'saved') OVER up_to_here AS in_saved
    FROM message AS m
    WINDOW up_to_here AS (ORDER BY m.position ROWS UNBOUNDED PRECEDING)
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = locked.new_count + t.in_new,
        saved_count = locked.saved_count + t.in_saved,
        stored_bytes = locked.stored_bytes + t.bytes,
        sequence = locked.sequence + t.steps
    FROM locked, (
        SELECT count(*) FILTER (WHERE folder = 'new') AS in_new,
            count(*) FILTER (WHERE folder = 'saved') AS in_saved,
            sum(audio_size) AS bytes,
            count(*) AS steps
        FROM message
    ) AS t
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND t.steps > 0
    RETURNING c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT locked.vmbox_id, locked.mailbox, locked.sequence + m.step AS sequence,
        (locked.new_count + m.in_new)::integer AS new_count,
        (locked.saved_count + m.in_saved)::integer AS saved_count,
        m.month, m.id AS message_id, 'message.restored' AS type,
        jsonb_build_object('message', {event_message}) AS data
    FROM step AS m CROSS JOIN locked
    ORDER BY m.step
), {count_bytes}, {append_event}
SELECT r.month, r.id,
    CASE
        WHEN locked.deleted_at IS NOT NULL THEN 'vmbox_not_found'
        WHEN m.id IS NOT NULL THEN 'done'
        ELSE coalesce(c.outcome, 'message_not_found')
    END AS outcome
FROM locked CROSS JOIN requested AS r
LEFT JOIN checked AS c ON c.position = r.position
LEFT JOIN message AS m ON m.position = r.position
ORDER BY r.position;

-- name: purge_trash
-- Deletes up to :limit removed messages of a box, with :message_ids only of those, and returns their audio
-- keys. Skips held messages and rows that a keeper is deleting. The lock of the box prevents a restore at the same time.
-- Plan: the counts row by primary key; messages_in_trash of all partitions, rows by primary key. The account
-- is hidden from the planner, as in list_messages.
WITH locked AS MATERIALIZED (
    SELECT vmbox_id
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
        -- A box that is being purged: see vmbox_trash.sql.
        AND (deleted_at IS NULL OR deleted_at = 'epoch')
    FOR NO KEY UPDATE
), due AS MATERIALIZED (
    SELECT m.account_id, m.month, m.id
    FROM locked, messages AS m
    WHERE m.account_id = (SELECT :account_id::uuid) AND m.vmbox_id = :vmbox_id
        AND m.removed_at IS NOT NULL AND NOT {is_held}
        AND (:message_ids::uuid[] IS NULL OR (m.month, m.id) IN (
            SELECT r.month, r.id FROM unnest(:months::integer[], :message_ids) AS r (month, id)
        ))
    LIMIT :limit
    FOR UPDATE OF m SKIP LOCKED
), waveform AS (
    DELETE FROM waveforms AS w
    USING due
    WHERE w.account_id = due.account_id AND w.month = due.month AND w.message_id = due.id
), message AS (
    DELETE FROM messages AS m
    USING due
    WHERE m.account_id = due.account_id AND m.month = due.month AND m.id = due.id
    RETURNING m.vmbox_id, m.month, m.id, m.audio_key
), event AS (
    SELECT m.vmbox_id, NULL AS mailbox, NULL::bigint AS sequence, NULL::integer AS new_count,
        NULL::integer AS saved_count, m.month, m.id AS message_id, 'message.purged' AS type,
        NULL::jsonb AS data
    FROM message AS m
), {append_event}
SELECT month, id, audio_key FROM message;
