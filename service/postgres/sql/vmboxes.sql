-- name: insert_vmbox
-- Creates a box with its numbers, its greetings and its counts row, and appends the event.
WITH vmbox AS (
    INSERT INTO vmboxes (account_id, vmbox_id, name, document, pin_sealed)
    VALUES (:account_id, :vmbox_id, :name, :document, :pin_sealed)
    RETURNING *
), numbers AS (
    INSERT INTO vmbox_numbers (account_id, number, vmbox_id)
    SELECT :account_id, number, :vmbox_id FROM unnest(:numbers::text[]) AS number
), greetings AS (
    INSERT INTO vmbox_media (account_id, vmbox_id, media_id)
    SELECT :account_id, :vmbox_id, id FROM unnest(:greeting_ids::uuid[]) AS id
), counts AS (
    INSERT INTO vmbox_counts (account_id, vmbox_id, mailbox, max_message_count, sequence)
    VALUES (:account_id, :vmbox_id, :mailbox, :max_message_count, 1)
    RETURNING *
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, NULL::integer AS month,
        NULL::uuid AS message_id, 'vmbox.created' AS type,
        jsonb_build_object('vmbox', {event_vmbox}) AS data
    FROM counts AS c CROSS JOIN vmbox AS v
), {append_event}
SELECT v.*, c.new_count, c.saved_count FROM vmbox AS v CROSS JOIN counts AS c;

-- name: update_vmbox
-- Replaces the document of a box if its revision is still :revision, and changes its numbers and greetings
-- by what was removed and added. A new PIN unlocks the PIN check. No row when the box was deleted or changed.
WITH {lock_sequence}, vmbox AS (
    UPDATE vmboxes AS v
    SET name = :name, document = :document, pin_sealed = :pin_sealed, recipients = :recipients,
        revision = v.revision + 1, modified_at = now()
    FROM locked
    WHERE v.account_id = :account_id AND v.vmbox_id = :vmbox_id AND v.revision = :revision
        AND v.deleted_at IS NULL
    RETURNING v.*
), removed_numbers AS (
    DELETE FROM vmbox_numbers AS n
    USING vmbox AS v
    WHERE n.account_id = :account_id AND n.vmbox_id = :vmbox_id
        AND n.number = ANY(:removed_numbers::text[])
), added_numbers AS (
    INSERT INTO vmbox_numbers (account_id, number, vmbox_id)
    SELECT :account_id, number, :vmbox_id FROM vmbox CROSS JOIN unnest(:added_numbers::text[]) AS number
), removed_greetings AS (
    DELETE FROM vmbox_media AS g
    USING vmbox AS v
    WHERE g.account_id = :account_id AND g.vmbox_id = :vmbox_id
        AND g.media_id = ANY(:removed_greeting_ids::uuid[])
), added_greetings AS (
    INSERT INTO vmbox_media (account_id, vmbox_id, media_id)
    SELECT :account_id, :vmbox_id, id FROM vmbox CROSS JOIN unnest(:added_greeting_ids::uuid[]) AS id
    -- A process of the release before 0068 leaves the rows of the fields that it does not know.
    ON CONFLICT DO NOTHING
), counts AS (
    UPDATE vmbox_counts AS c
    SET mailbox = :mailbox, max_message_count = :max_message_count, sequence = locked.sequence + 1,
        pin_failed_at = CASE WHEN NOT :is_pin_changed::boolean THEN c.pin_failed_at END
    FROM locked, vmbox
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
    RETURNING c.*
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, NULL::integer AS month,
        NULL::uuid AS message_id, 'vmbox.updated' AS type,
        jsonb_build_object('vmbox', {event_vmbox}) AS data
    FROM counts AS c CROSS JOIN vmbox AS v
), {append_event}
SELECT v.*, c.new_count, c.saved_count FROM vmbox AS v CROSS JOIN counts AS c;

-- name: lock_vmbox
-- Locks a box until the transaction ends. The next statements see all earlier changes of it.
SELECT FROM vmbox_counts
WHERE account_id = :account_id AND vmbox_id = :vmbox_id
FOR NO KEY UPDATE;

-- name: delete_vmbox
-- Deletes a box at once. Its messages are then unreachable, until it is restored (vmbox_trash.sql) or the keeper
-- removes them in batches after the grace.
-- The caller must hold the lock of lock_vmbox: otherwise a number that is added while this statement waits
-- would outlive the box.
WITH locked AS MATERIALIZED (
    SELECT new_count, saved_count, sequence
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at IS NULL
    FOR NO KEY UPDATE
), vmbox AS (
    UPDATE vmboxes AS v
    SET deleted_at = now(), modified_at = now(), revision = v.revision + 1
    FROM locked
    WHERE v.account_id = :account_id AND v.vmbox_id = :vmbox_id AND v.deleted_at IS NULL
    RETURNING v.*
), removed_numbers AS (
    DELETE FROM vmbox_numbers AS n
    USING vmbox AS v
    WHERE n.account_id = :account_id AND n.vmbox_id = :vmbox_id
), removed_greetings AS (
    DELETE FROM vmbox_media AS g
    USING vmbox AS v
    WHERE g.account_id = :account_id AND g.vmbox_id = :vmbox_id
), counts AS (
    UPDATE vmbox_counts AS c
    SET deleted_at = now(), new_count = 0, saved_count = 0, pending_count = 0, stored_bytes = 0,
        sequence = locked.sequence + 1
    FROM locked, vmbox
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
    RETURNING c.*, locked.new_count + locked.saved_count AS messages_removed,
        c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, NULL::integer AS month,
        NULL::uuid AS message_id, 'vmbox.deleted' AS type,
        jsonb_build_object(
            'vmbox', {event_vmbox}, 'messages_removed', c.messages_removed) AS data
    FROM counts AS c CROSS JOIN vmbox AS v
), {count_bytes}, {append_event}
SELECT v.*, c.new_count, c.saved_count FROM vmbox AS v CROSS JOIN counts AS c;

-- name: get_vmbox
-- One box with its counts.
SELECT v.*, c.new_count, c.saved_count
FROM vmboxes AS v
JOIN vmbox_counts AS c ON c.account_id = :account_id AND c.vmbox_id = :vmbox_id
WHERE v.account_id = :account_id AND v.vmbox_id = :vmbox_id AND v.deleted_at IS NULL;

-- name: list_vmboxes
-- A page of the boxes of an account with their counts, by name; with :vmbox_ids only of those boxes.
-- Plan: vmboxes_by_name in order, the counts of each box by primary key, stops when the page is full.
-- OFFSET 0 prevents a join that reads all counts of the account for each box.
{vmboxes_with_counts}
    AND (v.name, v.vmbox_id) >= (:start_name, :start_id::uuid)
ORDER BY v.name, v.vmbox_id
LIMIT :limit;

-- name: list_vmboxes_descending
-- As list_vmboxes in reverse order. A null :start_name starts at the last name.
{vmboxes_with_counts}
    AND (:start_name::text IS NULL OR (v.name, v.vmbox_id) <= (:start_name, :start_id::uuid))
ORDER BY v.name DESC, v.vmbox_id DESC
LIMIT :limit;

-- name: count_vmboxes
-- The number of boxes of an account, counted up to :limit. Concurrent requests may exceed a quota by a few.
-- Plan: vmboxes_by_name, stops at the limit.
SELECT count(*) FROM (
    SELECT FROM vmboxes AS v WHERE v.account_id = :account_id AND v.deleted_at IS NULL LIMIT :limit
) AS counted;

-- name: are_numbers_taken
-- True when another box of the account has one of :numbers.
-- Plan: each number by primary key.
SELECT EXISTS (
    SELECT FROM vmbox_numbers
    WHERE account_id = :account_id AND number = ANY(:numbers::text[]) AND vmbox_id <> :vmbox_id
);

-- name: lock_numbers
-- Allows one transaction at a time to choose a number in an account.
SELECT pg_advisory_xact_lock(hashtextextended('mailbox numbers ' || :account_id::uuid::text, 0));

-- name: lowest_free_number
-- The lowest number of four digits that no box of the account has.
-- Plan: the numbers of the account, read once: a few milliseconds for any number of them.
SELECT free.number::text
FROM generate_series(1000, 9999) AS free (number)
WHERE NOT EXISTS (
    SELECT FROM vmbox_numbers AS n
    WHERE n.account_id = :account_id AND n.number = free.number::text
)
ORDER BY free.number
LIMIT 1;
