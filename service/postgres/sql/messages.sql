-- What is looked up by id asks for num_nulls(removed_at) = 1 instead of removed_at IS NULL, which would
-- make the partial indexes eligible: without fresh statistics (a new account, a new month) the planner
-- takes them for as good as the primary key, and reads a whole month of the account.

-- name: insert_message
-- Stores a message: locks the box's counts row, inserts, counts, appends the event. At the limit of
-- the box it inserts nothing and announces the full box, at most once in 10 minutes. Under an
-- idempotency key ($22) it inserts only if the claim is still held by token $23, and answers it.
-- Plan: the counts row by primary key, one partition, no scan.
WITH box AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, pending_count, sequence, full_event_at, deleted_at,
        coalesce(max_message_count, $19::integer) AS max_message_count
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), judged AS MATERIALIZED (
    SELECT box.*,
        CASE
            WHEN deleted_at IS NOT NULL THEN 'vmbox_gone'
            WHEN max_message_count > 0 AND new_count + saved_count >= max_message_count THEN 'full'
            WHEN $15::text IS NULL AND pending_count >= $20::integer THEN 'too_many_pending'
            ELSE 'done'
        END AS outcome
    FROM box
), verdict AS MATERIALIZED (
    SELECT judged.*,
        CASE
            WHEN outcome = 'done' AND $15::text IS NOT NULL THEN 'message.new'
            WHEN outcome = 'full' AND coalesce(full_event_at, '-infinity') < now() - interval '10 min'
                THEN 'vmbox.full'
        END AS event
    FROM judged
), claim AS (
    UPDATE idempotency AS i
    SET answer = $24::jsonb
        || jsonb_build_object('to_uri', coalesce($13, v.mailbox || '@' || $14::text))
    FROM verdict AS v
    WHERE v.outcome = 'done' AND i.account_id = $1 AND i.vmbox_id = $2 AND i.key = $22
        AND i.token = $23 AND i.answer IS NULL
    RETURNING i.key
), message AS (
    INSERT INTO messages (
        account_id, month, id, vmbox_id, folder, counted, received_at, length_ms,
        caller_id_number, caller_id_name, call_id, from_uri, to_uri,
        audio_key, audio_type, audio_size, audio_sha256
    )
    SELECT $1, $3, $4, $2, $5, $6, $7, $8, $9, $10, $11, $12, coalesce($13, mailbox || '@' || $14::text),
        $15, $16, $17, $18
    FROM verdict
    WHERE outcome = 'done' AND ($22::text IS NULL OR EXISTS (SELECT FROM claim))
    RETURNING *
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = v.new_count + coalesce(m.counted AND m.folder = 'new', false)::integer,
        saved_count = v.saved_count + coalesce(m.counted AND m.folder = 'saved', false)::integer,
        pending_count = v.pending_count + (m.id IS NOT NULL AND m.audio_key IS NULL)::integer,
        sequence = v.sequence + (v.event IS NOT NULL)::integer,
        full_event_at = CASE v.event WHEN 'vmbox.full' THEN now() ELSE v.full_event_at END
    FROM verdict AS v LEFT JOIN message AS m ON true
    WHERE c.account_id = $1 AND c.vmbox_id = $2 AND (m.id IS NOT NULL OR v.event = 'vmbox.full')
    RETURNING c.mailbox, c.sequence, c.new_count, c.saved_count, v.event, v.max_message_count
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, c.sequence, d.epoch, c.event,
        event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
        || CASE c.event
            WHEN 'message.new' THEN jsonb_build_object(
                'message', event_message(m.month, m.id, m.folder, m.received_at, m.length_ms,
                    m.caller_id_number, m.caller_id_name, m.call_id, m.from_uri, m.to_uri),
                'origin', jsonb_build_object('reason', 'stored'))
            ELSE jsonb_build_object(
                'max_message_count', c.max_message_count,
                'message_count', c.new_count + c.saved_count)
        END,
        $21
    FROM counts AS c CROSS JOIN deployment AS d LEFT JOIN message AS m ON true
    WHERE c.event IS NOT NULL
)
SELECT
    CASE WHEN v.outcome = 'done' AND m.id IS NULL THEN 'claim_lost' ELSE v.outcome END AS outcome,
    v.max_message_count, v.new_count + v.saved_count AS message_count, m.*
FROM verdict AS v LEFT JOIN message AS m ON true;

-- name: attach_audio
-- Gives a message its audio, or other audio in place of what it has. A message that waited for it
-- is complete from here on: it is counted and announced as new.
-- Plan: the counts row and the message by primary key, one partition.
WITH box AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, pending_count, sequence, full_event_at, deleted_at,
        coalesce(max_message_count, $11::integer) AS max_message_count
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), target AS MATERIALIZED (
    SELECT m.id, m.audio_key, m.received_at
    FROM box, messages AS m
    WHERE m.account_id = $1 AND m.month = $3 AND m.id = $4 AND m.vmbox_id = $2
        AND num_nulls(m.removed_at) = 1
    FOR NO KEY UPDATE OF m
), judged AS MATERIALIZED (
    SELECT box.*, t.audio_key,
        CASE
            WHEN deleted_at IS NOT NULL THEN 'vmbox_gone'
            WHEN t.id IS NULL THEN 'message_gone'
            WHEN t.audio_key IS NOT NULL AND t.received_at < $10 THEN 'expired'
            WHEN t.audio_key IS NOT NULL THEN 'replaced'
            WHEN max_message_count > 0 AND new_count + saved_count >= max_message_count THEN 'full'
            ELSE 'done'
        END AS outcome
    FROM box LEFT JOIN target AS t ON true
), verdict AS MATERIALIZED (
    SELECT judged.*,
        CASE
            WHEN outcome = 'done' THEN 'message.new'
            WHEN outcome = 'replaced' THEN 'message.audio_replaced'
            WHEN outcome = 'full' AND coalesce(full_event_at, '-infinity') < now() - interval '10 min'
                THEN 'vmbox.full'
        END AS event
    FROM judged
), message AS (
    UPDATE messages AS m
    SET audio_key = $5, audio_type = $6, audio_size = $7, audio_sha256 = $8,
        -- it was of the audio that goes
        transcription = NULL,
        -- 1 ms stands for a length that nobody gave
        length_ms = CASE m.length_ms WHEN 1 THEN $9 ELSE m.length_ms END,
        counted = CASE v.outcome WHEN 'done' THEN m.received_at >= $10 ELSE m.counted END,
        changed_at = now()
    FROM verdict AS v
    WHERE m.account_id = $1 AND m.month = $3 AND m.id = $4 AND v.outcome IN ('done', 'replaced')
    RETURNING m.*
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = v.new_count
            + coalesce(v.outcome = 'done' AND m.counted AND m.folder = 'new', false)::integer,
        saved_count = v.saved_count
            + coalesce(v.outcome = 'done' AND m.counted AND m.folder = 'saved', false)::integer,
        pending_count = v.pending_count - (v.outcome = 'done')::integer,
        sequence = v.sequence + 1,
        full_event_at = CASE v.event WHEN 'vmbox.full' THEN now() ELSE v.full_event_at END
    FROM verdict AS v LEFT JOIN message AS m ON true
    WHERE c.account_id = $1 AND c.vmbox_id = $2 AND v.event IS NOT NULL
    RETURNING c.mailbox, c.sequence, c.new_count, c.saved_count, v.event, v.max_message_count
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, c.sequence, d.epoch, c.event,
        event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
        || CASE c.event
            WHEN 'vmbox.full' THEN jsonb_build_object(
                'max_message_count', c.max_message_count,
                'message_count', c.new_count + c.saved_count)
            ELSE jsonb_build_object(
                'message', event_message(m.month, m.id, m.folder, m.received_at, m.length_ms,
                    m.caller_id_number, m.caller_id_name, m.call_id, m.from_uri, m.to_uri))
        END
        || CASE c.event
            WHEN 'message.new' THEN
                jsonb_build_object('origin', jsonb_build_object('reason', 'stored'))
            ELSE '{}'
        END,
        $12
    FROM counts AS c CROSS JOIN deployment AS d LEFT JOIN message AS m ON true
)
SELECT v.outcome, v.max_message_count, v.new_count + v.saved_count AS message_count,
    v.audio_key AS replaced_key, m.*
FROM verdict AS v LEFT JOIN message AS m ON true;

-- name: change_folder
-- Puts a message into a folder: locks the box's counts row, writes the message, corrects the counts
-- from the folder it was in as locked, appends the event. A message without audio stays silent.
-- Plan: the counts row and the message by primary key, one partition.
WITH box AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), message AS (
    UPDATE messages AS m
    SET folder = $5,
        changed_at = CASE m.folder WHEN $5 THEN m.changed_at ELSE now() END
    FROM box
    WHERE m.account_id = $1 AND m.month = $3 AND m.id = $4 AND m.vmbox_id = $2
        AND num_nulls(m.removed_at) = 1 AND m.received_at >= $6 AND box.deleted_at IS NULL
    RETURNING old.folder AS folder_before, m.*
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = box.new_count + CASE WHEN m.counted
            THEN (m.folder = 'new')::integer - (m.folder_before = 'new')::integer ELSE 0 END,
        saved_count = box.saved_count + CASE WHEN m.counted
            THEN (m.folder = 'saved')::integer - (m.folder_before = 'saved')::integer ELSE 0 END,
        sequence = box.sequence + 1
    FROM box, message AS m
    WHERE c.account_id = $1 AND c.vmbox_id = $2
        AND m.folder <> m.folder_before AND m.audio_key IS NOT NULL
    RETURNING c.mailbox, c.sequence, c.new_count, c.saved_count
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, c.sequence, d.epoch, 'message.folder_changed',
        event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
        || jsonb_build_object(
            'message', event_message(m.month, m.id, m.folder, m.received_at, m.length_ms,
                m.caller_id_number, m.caller_id_name, m.call_id, m.from_uri, m.to_uri),
            'from', m.folder_before,
            'to', m.folder,
            'reason', $7::text),
        $8
    FROM counts AS c CROSS JOIN deployment AS d CROSS JOIN message AS m
)
SELECT
    CASE
        WHEN box.deleted_at IS NOT NULL THEN 'vmbox_gone'
        WHEN m.folder = m.folder_before THEN 'unchanged'
        WHEN m.id IS NOT NULL THEN 'done'
        WHEN EXISTS (
            SELECT FROM messages AS e
            WHERE e.account_id = $1 AND e.month = $3 AND e.id = $4 AND e.vmbox_id = $2
                AND num_nulls(e.removed_at) = 1 AND e.received_at < $6
        ) THEN 'expired'
        ELSE 'message_gone'
    END AS outcome,
    m.*
FROM box LEFT JOIN message AS m ON true;

-- name: remove_message
-- Takes a message out of every list and count. The event shows the folder it was in.
-- Plan: the counts row and the message by primary key, one partition.
WITH box AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, pending_count, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), message AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now(), counted = false
    FROM box
    WHERE m.account_id = $1 AND m.month = $3 AND m.id = $4 AND m.vmbox_id = $2
        AND num_nulls(m.removed_at) = 1 AND box.deleted_at IS NULL
    RETURNING old.counted AS counted_before, m.*
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = box.new_count - (m.counted_before AND m.folder = 'new')::integer,
        saved_count = box.saved_count - (m.counted_before AND m.folder = 'saved')::integer,
        pending_count = box.pending_count - (m.audio_key IS NULL)::integer,
        sequence = box.sequence + (m.audio_key IS NOT NULL)::integer
    FROM box, message AS m
    WHERE c.account_id = $1 AND c.vmbox_id = $2
    RETURNING c.mailbox, c.sequence, c.new_count, c.saved_count
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT $1, $2, c.sequence, d.epoch, 'message.removed',
        event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
        || jsonb_build_object(
            'message', event_message(m.month, m.id, m.folder, m.received_at, m.length_ms,
                m.caller_id_number, m.caller_id_name, m.call_id, m.from_uri, m.to_uri),
            'reason', $5::text),
        $6
    FROM counts AS c CROSS JOIN deployment AS d CROSS JOIN message AS m
    WHERE m.audio_key IS NOT NULL
)
SELECT
    CASE
        WHEN box.deleted_at IS NOT NULL THEN 'vmbox_gone'
        WHEN m.id IS NULL THEN 'message_gone'
        ELSE 'done'
    END AS outcome,
    m.*
FROM box LEFT JOIN message AS m ON true;

-- name: get_message
-- One message of a box that lives: no row without the box, a row of nulls without the message.
-- Plan: both by primary key, one partition.
SELECT m.*
FROM vmbox_counts AS c
LEFT JOIN messages AS m
    ON m.account_id = $1 AND m.month = $3 AND m.id = $4 AND m.vmbox_id = $2
        AND num_nulls(m.removed_at) = 1
WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL;

-- name: get_received_at
-- When a message of a box that lives came, whether it is still there or not: rows as get_message.
-- Plan: both by primary key, one partition.
SELECT m.received_at
FROM vmbox_counts AS c
LEFT JOIN messages AS m ON m.account_id = $1 AND m.month = $3 AND m.id = $4 AND m.vmbox_id = $2
WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL;
