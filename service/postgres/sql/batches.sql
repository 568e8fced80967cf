-- Rows are looked up by num_nulls(removed_at) = 1, as messages.sql explains, and by m.id = ANY(...) beside
-- the join: by the primary key, in whatever order the planner joins.

-- name: change_folders
-- Puts several messages of a box into a folder: as change_folder, for all of them under one lock.
-- Each event carries the counts after it. One row per message asked for, in order.
-- Plan: the counts row by primary key, the partitions of the months named in $5, rows by primary key.
WITH box AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), asked AS MATERIALIZED (
    SELECT a.month, a.id, a.place
    FROM unnest($3::integer[], $4::uuid[]) WITH ORDINALITY AS a (month, id, place)
), message AS (
    UPDATE messages AS m
    SET folder = $6,
        changed_at = CASE m.folder WHEN $6 THEN m.changed_at ELSE now() END
    FROM box, asked AS a
    WHERE m.account_id = $1 AND m.month = ANY($5::integer[]) AND m.id = ANY($4::uuid[])
        AND m.month = a.month AND m.id = a.id
        AND m.vmbox_id = $2 AND num_nulls(m.removed_at) = 1 AND m.received_at >= $7
        AND box.deleted_at IS NULL
    RETURNING old.folder AS folder_before, a.place, m.*
), step AS (
    SELECT m.*,
        row_number() OVER so_far AS step,
        sum(change.in_new) OVER so_far AS in_new,
        sum(change.in_saved) OVER so_far AS in_saved
    FROM message AS m
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN m.counted
                THEN (m.folder = 'new')::integer - (m.folder_before = 'new')::integer ELSE 0 END,
            CASE WHEN m.counted
                THEN (m.folder = 'saved')::integer - (m.folder_before = 'saved')::integer ELSE 0 END
    ) AS change (in_new, in_saved)
    WHERE m.folder <> m.folder_before AND m.audio_key IS NOT NULL
    WINDOW so_far AS (ORDER BY m.place ROWS UNBOUNDED PRECEDING)
), total AS (
    SELECT step AS steps, in_new, in_saved FROM step ORDER BY step DESC LIMIT 1
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = box.new_count + t.in_new,
        saved_count = box.saved_count + t.in_saved,
        sequence = box.sequence + t.steps
    FROM box, total AS t
    WHERE c.account_id = $1 AND c.vmbox_id = $2
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, box.sequence + s.step, d.epoch, 'message.folder_changed',
        event_of_box($1, $2, box.mailbox, d.epoch, box.sequence + s.step,
            (box.new_count + s.in_new)::integer, (box.saved_count + s.in_saved)::integer)
        || jsonb_build_object(
            'message', event_message(s.month, s.id, s.folder, s.received_at, s.length_ms,
                s.caller_id_number, s.caller_id_name, s.call_id, s.from_uri, s.to_uri),
            'from', s.folder_before,
            'to', s.folder,
            'reason', $8::text),
        $9
    FROM step AS s CROSS JOIN box CROSS JOIN deployment AS d
    ORDER BY s.step
)
SELECT a.month, a.id,
    CASE
        WHEN box.deleted_at IS NOT NULL THEN 'vmbox_gone'
        WHEN m.id IS NOT NULL THEN 'done'
        WHEN EXISTS (
            SELECT FROM messages AS e
            WHERE e.account_id = $1 AND e.month = ANY($5::integer[]) AND e.month = a.month
                AND e.id = a.id AND e.vmbox_id = $2 AND num_nulls(e.removed_at) = 1
                AND e.received_at < $7
        ) THEN 'expired'
        ELSE 'message_gone'
    END AS outcome
FROM box CROSS JOIN asked AS a LEFT JOIN message AS m ON m.place = a.place
ORDER BY a.place;

-- name: remove_messages
-- Removes several messages of a box: as remove_message, for all of them under one lock.
-- Each event carries the counts after it. One row per message asked for, in order.
-- Plan: the counts row by primary key, the partitions of the months named in $5, rows by primary key.
WITH box AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, pending_count, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), asked AS MATERIALIZED (
    SELECT a.month, a.id, a.place
    FROM unnest($3::integer[], $4::uuid[]) WITH ORDINALITY AS a (month, id, place)
), message AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now(), counted = false
    FROM box, asked AS a
    WHERE m.account_id = $1 AND m.month = ANY($5::integer[]) AND m.id = ANY($4::uuid[])
        AND m.month = a.month AND m.id = a.id
        AND m.vmbox_id = $2 AND num_nulls(m.removed_at) = 1 AND box.deleted_at IS NULL
        AND ($6::text IS NULL OR m.folder = $6)
    RETURNING old.counted AS counted_before, a.place, m.*
), step AS (
    SELECT m.*,
        row_number() OVER so_far AS step,
        count(*) FILTER (WHERE m.counted_before AND m.folder = 'new') OVER so_far AS from_new,
        count(*) FILTER (WHERE m.counted_before AND m.folder = 'saved') OVER so_far AS from_saved
    FROM message AS m
    WHERE m.audio_key IS NOT NULL
    WINDOW so_far AS (ORDER BY m.place ROWS UNBOUNDED PRECEDING)
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = box.new_count - t.from_new,
        saved_count = box.saved_count - t.from_saved,
        pending_count = box.pending_count - t.pending,
        sequence = box.sequence + t.steps
    FROM box, (
        SELECT
            count(*) FILTER (WHERE counted_before AND folder = 'new') AS from_new,
            count(*) FILTER (WHERE counted_before AND folder = 'saved') AS from_saved,
            count(*) FILTER (WHERE audio_key IS NULL) AS pending,
            count(*) FILTER (WHERE audio_key IS NOT NULL) AS steps
        FROM message
    ) AS t
    WHERE c.account_id = $1 AND c.vmbox_id = $2 AND t.steps + t.pending > 0
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, box.sequence + s.step, d.epoch, 'message.removed',
        event_of_box($1, $2, box.mailbox, d.epoch, box.sequence + s.step,
            (box.new_count - s.from_new)::integer, (box.saved_count - s.from_saved)::integer)
        || jsonb_build_object(
            'message', event_message(s.month, s.id, s.folder, s.received_at, s.length_ms,
                s.caller_id_number, s.caller_id_name, s.call_id, s.from_uri, s.to_uri),
            'reason', $7::text),
        $8
    FROM step AS s CROSS JOIN box CROSS JOIN deployment AS d
    ORDER BY s.step
)
SELECT a.month, a.id,
    CASE
        WHEN box.deleted_at IS NOT NULL THEN 'vmbox_gone'
        WHEN m.id IS NOT NULL THEN 'done'
        ELSE 'message_gone'
    END AS outcome
FROM box CROSS JOIN asked AS a LEFT JOIN message AS m ON m.place = a.place
ORDER BY a.place;

-- name: list_message_ids
-- The ids of up to $4 messages of a box, newest first, of one folder or of all.
-- Plan: an ordered Append over messages_by_vmbox that stops after $4 rows.
SELECT m.month, m.id
FROM messages AS m
WHERE m.account_id = $1 AND m.vmbox_id = $2 AND m.removed_at IS NULL
    AND ($3::text IS NULL OR m.folder = $3)
ORDER BY m.month DESC, m.received_at DESC, m.id DESC
LIMIT $4;

-- name: get_messages
-- Several messages of a box that lives; those that are not there are left out.
-- Plan: the partitions of the months named in $5, rows by primary key.
SELECT m.*
FROM vmbox_counts AS c, messages AS m
WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL
    AND m.account_id = $1 AND m.month = ANY($5::integer[]) AND m.id = ANY($4::uuid[])
    AND m.vmbox_id = $2 AND num_nulls(m.removed_at) = 1
    AND (m.month, m.id) IN (
        SELECT a.month, a.id FROM unnest($3::integer[], $4::uuid[]) AS a (month, id)
    );

-- name: living_vmboxes
-- Which of these boxes live.
SELECT vmbox_id
FROM vmbox_counts
WHERE account_id = $1 AND vmbox_id = ANY($2::uuid[]) AND deleted_at IS NULL;

-- name: transfer_messages
-- Moves or copies messages to a box under new ids, after their audio was copied to keys of their own.
-- Both boxes are locked in id order; a message counts only if it still has the audio that was copied.
-- Each event carries its box's counts after it. One row per message asked for, in order.
-- Plan: two counts rows by primary key, the partitions of the months named in $9, rows by key.
WITH box AS MATERIALIZED (
    SELECT vmbox_id, mailbox, new_count, saved_count, sequence
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id IN ($2, $3) AND deleted_at IS NULL
    ORDER BY vmbox_id
    FOR NO KEY UPDATE
), target AS MATERIALIZED (
    SELECT t.mailbox FROM box AS s, box AS t WHERE s.vmbox_id = $2 AND t.vmbox_id = $3
), asked AS MATERIALIZED (
    SELECT a.month, a.id, a.copied_key, a.new_id, a.new_key, a.place
    FROM unnest($4::integer[], $5::uuid[], $6::text[], $7::uuid[], $8::text[])
        WITH ORDINALITY AS a (month, id, copied_key, new_id, new_key, place)
), source AS MATERIALIZED (
    SELECT a.new_id, a.new_key, a.place, a.copied_key, m.*
    FROM target, asked AS a, messages AS m
    WHERE m.account_id = $1 AND m.month = ANY($9::integer[]) AND m.id = ANY($5::uuid[])
        AND m.month = a.month AND m.id = a.id
        AND m.vmbox_id = $2 AND num_nulls(m.removed_at) = 1
    FOR NO KEY UPDATE OF m
), accepted AS MATERIALIZED (
    SELECT * FROM source WHERE audio_key = copied_key AND received_at >= $12
), added AS (
    INSERT INTO messages (
        account_id, month, id, vmbox_id, folder, counted, received_at, length_ms,
        caller_id_number, caller_id_name, call_id, from_uri, to_uri,
        audio_key, audio_type, audio_size, audio_sha256, transcription
    )
    SELECT $1, $10, s.new_id, $3, 'new', true, $11, s.length_ms,
        s.caller_id_number, s.caller_id_name, s.call_id, s.from_uri,
        t.mailbox || '@' || $14::text,
        s.new_key, s.audio_type, s.audio_size, s.audio_sha256, s.transcription
    FROM accepted AS s CROSS JOIN target AS t
    -- a repeated request comes with the ids of its first run
    ON CONFLICT (account_id, month, id) DO NOTHING
    RETURNING *
), landed AS (
    SELECT s.* FROM accepted AS s JOIN added AS n ON n.id = s.new_id
), removed AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now(), counted = false
    FROM landed AS s
    WHERE $13::boolean AND m.account_id = $1 AND m.month = ANY($9::integer[])
        AND m.id = ANY($5::uuid[]) AND m.month = s.month AND m.id = s.id
), change AS (
    SELECT s.place, 0 AS part, $2 AS vmbox_id, 'message.removed' AS type,
        -(s.counted AND s.folder = 'new')::integer AS in_new,
        -(s.counted AND s.folder = 'saved')::integer AS in_saved,
        jsonb_build_object(
            'message', event_message(s.month, s.id, s.folder, s.received_at, s.length_ms,
                s.caller_id_number, s.caller_id_name, s.call_id, s.from_uri, s.to_uri),
            'reason', 'moved') AS data
    FROM landed AS s
    WHERE $13::boolean
    UNION ALL
    SELECT s.place, 1, $3, 'message.new', 1, 0,
        jsonb_build_object(
            'message', event_message(n.month, n.id, n.folder, n.received_at, n.length_ms,
                n.caller_id_number, n.caller_id_name, n.call_id, n.from_uri, n.to_uri),
            'origin', jsonb_build_object(
                'reason', CASE WHEN $13::boolean THEN 'moved' ELSE 'copied' END,
                'vmbox_id', hex($2),
                'media_id', s.month::text || '-' || hex(s.id)))
    FROM landed AS s JOIN added AS n ON n.id = s.new_id
), step AS (
    SELECT place, part, vmbox_id, type, data,
        row_number() OVER so_far AS step,
        sum(in_new) OVER so_far AS in_new,
        sum(in_saved) OVER so_far AS in_saved
    FROM change
    WINDOW so_far AS (PARTITION BY vmbox_id ORDER BY place, part ROWS UNBOUNDED PRECEDING)
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = box.new_count + t.in_new,
        saved_count = box.saved_count + t.in_saved,
        sequence = box.sequence + t.steps
    FROM box JOIN (
        SELECT vmbox_id, sum(in_new) AS in_new, sum(in_saved) AS in_saved, count(*) AS steps
        FROM change
        GROUP BY vmbox_id
    ) AS t USING (vmbox_id)
    WHERE c.account_id = $1 AND c.vmbox_id = box.vmbox_id
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, s.vmbox_id, box.sequence + s.step, d.epoch, s.type,
        event_of_box($1, s.vmbox_id, box.mailbox, d.epoch, box.sequence + s.step,
            (box.new_count + s.in_new)::integer, (box.saved_count + s.in_saved)::integer)
        || s.data,
        $15
    FROM step AS s JOIN box USING (vmbox_id) CROSS JOIN deployment AS d
    ORDER BY s.place, s.part
)
SELECT
    CASE
        WHEN n.id IS NOT NULL THEN 'done'
        WHEN NOT EXISTS (SELECT FROM target) THEN 'vmbox_gone'
        WHEN s.id IS NULL THEN 'message_gone'
        WHEN s.received_at < $12 THEN 'expired'
        ELSE 'conflict'
    END AS outcome
FROM asked AS a
LEFT JOIN source AS s ON s.place = a.place
LEFT JOIN added AS n ON n.id = a.new_id
ORDER BY a.place;

-- name: landed_messages
-- Which of these ids were ever stored, wherever they are now.
-- Plan: one partition, rows by primary key.
SELECT id FROM messages WHERE account_id = $1 AND month = $2 AND id = ANY($3::uuid[]);
