-- name: insert_vmbox
-- Creates a box with its numbers, its greetings and its counts row, and appends the event.
WITH vmbox AS (
    INSERT INTO vmboxes (account_id, vmbox_id, name, document, pin_sealed)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING *
), numbers AS (
    INSERT INTO vmbox_numbers (account_id, number, vmbox_id)
    SELECT $1, number, $2 FROM unnest($6::text[]) AS number
), greetings AS (
    INSERT INTO vmbox_media (account_id, vmbox_id, media_id)
    SELECT $1, $2, id FROM unnest($10::uuid[]) AS id
), counts AS (
    INSERT INTO vmbox_counts (account_id, vmbox_id, mailbox, max_message_count, sequence)
    VALUES ($1, $2, $7, $8, 1)
    RETURNING *
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, c.sequence, d.epoch, 'vmbox.created',
        event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
        || jsonb_build_object('vmbox', v.document || jsonb_build_object('id', hex($2))),
        $9
    FROM counts AS c CROSS JOIN vmbox AS v CROSS JOIN deployment AS d
)
SELECT v.*, c.new_count, c.saved_count FROM vmbox AS v CROSS JOIN counts AS c;

-- name: update_vmbox
-- Replaces a box's document if nobody has changed it since revision $3; the numbers that differ come
-- as two lists, the greetings likewise. No row when the box is gone or was changed.
WITH box AS MATERIALIZED (
    SELECT sequence
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2 AND deleted_at IS NULL
    FOR NO KEY UPDATE
), vmbox AS (
    UPDATE vmboxes AS v
    SET name = $4, document = $5, pin_sealed = $6, recipients = $14, revision = v.revision + 1,
        modified_at = now()
    FROM box
    WHERE v.account_id = $1 AND v.vmbox_id = $2 AND v.revision = $3 AND v.deleted_at IS NULL
    RETURNING v.*
), dropped AS (
    DELETE FROM vmbox_numbers AS n
    USING vmbox AS v
    WHERE n.account_id = $1 AND n.vmbox_id = $2 AND n.number = ANY($7::text[])
), added AS (
    INSERT INTO vmbox_numbers (account_id, number, vmbox_id)
    SELECT $1, number, $2 FROM vmbox CROSS JOIN unnest($8::text[]) AS number
), silenced AS (
    DELETE FROM vmbox_media AS g
    USING vmbox AS v
    WHERE g.account_id = $1 AND g.vmbox_id = $2 AND g.media_id = ANY($12::uuid[])
), greetings AS (
    INSERT INTO vmbox_media (account_id, vmbox_id, media_id)
    SELECT $1, $2, id FROM vmbox CROSS JOIN unnest($13::uuid[]) AS id
), counts AS (
    UPDATE vmbox_counts AS c
    SET mailbox = $9, max_message_count = $10, sequence = box.sequence + 1
    FROM box, vmbox
    WHERE c.account_id = $1 AND c.vmbox_id = $2
    RETURNING c.*
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, c.sequence, d.epoch, 'vmbox.updated',
        event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
        || jsonb_build_object('vmbox', v.document || jsonb_build_object('id', hex($2))),
        $11
    FROM counts AS c CROSS JOIN vmbox AS v CROSS JOIN deployment AS d
)
SELECT v.*, c.new_count, c.saved_count FROM vmbox AS v CROSS JOIN counts AS c;

-- name: lock_vmbox
-- Holds a box until the transaction ends: the statements that follow see all that others wrote of it.
SELECT FROM vmbox_counts WHERE account_id = $1 AND vmbox_id = $2 FOR NO KEY UPDATE;

-- name: delete_vmbox
-- Deletes a box at once; its messages become unreachable with it and are removed in batches later.
-- The box must be held: a number given to it while this statement waits would outlive it.
WITH box AS MATERIALIZED (
    SELECT new_count, saved_count, sequence
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2 AND deleted_at IS NULL
    FOR NO KEY UPDATE
), vmbox AS (
    UPDATE vmboxes AS v
    SET deleted_at = now(), modified_at = now(), revision = v.revision + 1
    FROM box
    WHERE v.account_id = $1 AND v.vmbox_id = $2 AND v.deleted_at IS NULL
    RETURNING v.*
), dropped AS (
    DELETE FROM vmbox_numbers AS n
    USING vmbox AS v
    WHERE n.account_id = $1 AND n.vmbox_id = $2
), silenced AS (
    DELETE FROM vmbox_media AS g
    USING vmbox AS v
    WHERE g.account_id = $1 AND g.vmbox_id = $2
), counts AS (
    UPDATE vmbox_counts AS c
    SET deleted_at = now(), new_count = 0, saved_count = 0, pending_count = 0,
        sequence = box.sequence + 1
    FROM box, vmbox
    WHERE c.account_id = $1 AND c.vmbox_id = $2
    RETURNING c.*, box.new_count + box.saved_count AS messages_removed
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, c.sequence, d.epoch, 'vmbox.deleted',
        event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
        || jsonb_build_object(
            'vmbox', v.document || jsonb_build_object('id', hex($2)),
            'messages_removed', c.messages_removed),
        $3
    FROM counts AS c CROSS JOIN vmbox AS v CROSS JOIN deployment AS d
)
SELECT v.*, c.new_count, c.saved_count FROM vmbox AS v CROSS JOIN counts AS c;

-- name: get_vmbox
-- One box with its counts.
SELECT v.*, c.new_count, c.saved_count
FROM vmboxes AS v
JOIN vmbox_counts AS c ON c.account_id = $1 AND c.vmbox_id = $2
WHERE v.account_id = $1 AND v.vmbox_id = $2 AND v.deleted_at IS NULL;

-- name: list_vmboxes
-- A page of an account's boxes with their counts, by name.
-- Plan: vmboxes_by_name in order, each box's counts by primary key, stops when the page is full. OFFSET
-- 0 keeps the planner from a join that reads all counts of the account, for each box.
SELECT v.*, counts.new_count, counts.saved_count
FROM vmboxes AS v
CROSS JOIN LATERAL (
    SELECT c.new_count, c.saved_count
    FROM vmbox_counts AS c
    WHERE c.account_id = $1 AND c.vmbox_id = v.vmbox_id
    OFFSET 0
) AS counts
WHERE v.account_id = $1 AND v.deleted_at IS NULL AND (v.name, v.vmbox_id) >= ($2, $3::uuid)
ORDER BY v.name, v.vmbox_id
LIMIT $4;

-- name: list_vmboxes_descending
-- A page of an account's boxes, last name first: as list_vmboxes the other way round. Without a name
-- to begin with it begins at the last one.
SELECT v.*, counts.new_count, counts.saved_count
FROM vmboxes AS v
CROSS JOIN LATERAL (
    SELECT c.new_count, c.saved_count
    FROM vmbox_counts AS c
    WHERE c.account_id = $1 AND c.vmbox_id = v.vmbox_id
    OFFSET 0
) AS counts
WHERE v.account_id = $1 AND v.deleted_at IS NULL
    AND ($2::text IS NULL OR (v.name, v.vmbox_id) <= ($2, $3::uuid))
ORDER BY v.name DESC, v.vmbox_id DESC
LIMIT $4;

-- name: numbers_taken
-- Whether another box of the account answers to one of these numbers.
-- Plan: each number by primary key.
SELECT EXISTS (
    SELECT FROM vmbox_numbers
    WHERE account_id = $1 AND number = ANY($3::text[]) AND vmbox_id <> $2
);

-- name: lock_numbers
-- Lets one transaction at a time choose a number in an account.
SELECT pg_advisory_xact_lock(hashtextextended('mailbox numbers ' || $1::uuid::text, 0));

-- name: lowest_free_number
-- The lowest number of four digits that no box of the account answers to.
-- Plan: the account's numbers, read once: a few milliseconds however many there are.
SELECT free.number::text
FROM generate_series(1000, 9999) AS free (number)
WHERE NOT EXISTS (
    SELECT FROM vmbox_numbers AS n WHERE n.account_id = $1 AND n.number = free.number::text
)
ORDER BY free.number
LIMIT 1;
