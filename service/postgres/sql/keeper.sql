-- name: try_step
-- One keeper at a time does a step; the lock goes with the session.
SELECT pg_try_advisory_lock(hashtextextended('aftertone keeper ' || $1::text, 0));

-- name: last_finished
-- When a step last ran to its end.
SELECT finished_at FROM keeper_steps WHERE step = $1;

-- name: note_finished
-- Notes that a step has run to its end, and what it did.
INSERT INTO keeper_steps (step, finished_at, done) VALUES ($1, $2, $3)
ON CONFLICT (step) DO UPDATE SET finished_at = EXCLUDED.finished_at, done = EXCLUDED.done;

-- name: list_months
-- The months that have a partition, oldest first.
SELECT substr(relname, 10)::integer AS month
FROM pg_inherits JOIN pg_class ON oid = inhrelid
WHERE inhparent = 'messages'::regclass
ORDER BY month;

-- name: list_expired
-- The boxes of the oldest expired messages of a month, $3 messages at most.
-- Plan: messages_by_age of one partition, from its start.
SELECT DISTINCT account_id, vmbox_id
FROM (
    SELECT account_id, vmbox_id
    FROM messages
    WHERE month = $1 AND removed_at IS NULL AND received_at < $2
    ORDER BY received_at
    LIMIT $3
) AS due
ORDER BY account_id, vmbox_id;

-- name: expire_messages
-- Removes up to $5 expired messages of a box and a month: locks the box's counts row, writes the
-- messages, counts, appends an event for each that is complete, with the counts after it. A box that
-- was deleted has told of all its messages already.
-- Plan: the counts row by primary key, messages_by_vmbox of one partition, rows by primary key.
WITH box AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, pending_count, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), due AS MATERIALIZED (
    SELECT m.id
    FROM box, messages AS m
    WHERE m.account_id = $1 AND m.vmbox_id = $2 AND m.month = $3
        AND m.removed_at IS NULL AND m.received_at < $4
    ORDER BY m.received_at, m.id
    LIMIT $5
), message AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now(), counted = false
    FROM due
    WHERE m.account_id = $1 AND m.month = $3 AND m.id = due.id
        -- not IS NULL: rows are found by primary key, as messages.sql explains
        AND num_nulls(m.removed_at) = 1
    RETURNING old.counted AS counted_before, m.*
), step AS (
    SELECT m.*,
        row_number() OVER so_far AS step,
        count(*) FILTER (WHERE m.counted_before AND m.folder = 'new') OVER so_far AS from_new,
        count(*) FILTER (WHERE m.counted_before AND m.folder = 'saved') OVER so_far AS from_saved
    FROM message AS m CROSS JOIN box
    WHERE m.audio_key IS NOT NULL AND box.deleted_at IS NULL
    WINDOW so_far AS (ORDER BY m.received_at, m.id ROWS UNBOUNDED PRECEDING)
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
    WHERE c.account_id = $1 AND c.vmbox_id = $2 AND box.deleted_at IS NULL
        AND t.steps + t.pending > 0
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data)
    SELECT $1, $2, box.sequence + s.step, d.epoch, 'message.removed',
        event_of_box($1, $2, box.mailbox, d.epoch, box.sequence + s.step,
            (box.new_count - s.from_new)::integer, (box.saved_count - s.from_saved)::integer)
        || jsonb_build_object(
            'message', event_message(s.month, s.id, s.folder, s.received_at, s.length_ms,
                s.caller_id_number, s.caller_id_name, s.call_id, s.from_uri, s.to_uri),
            'reason', 'retention')
    FROM step AS s CROSS JOIN box CROSS JOIN deployment AS d
    ORDER BY s.step
)
SELECT count(*) FROM message;

-- name: list_abandoned
-- The boxes of the oldest messages of a month that still wait for their audio, $3 messages at most.
-- Plan: pending_messages_by_age of one partition, from its start.
SELECT DISTINCT account_id, vmbox_id
FROM (
    SELECT account_id, vmbox_id
    FROM messages
    WHERE month = $1 AND removed_at IS NULL AND audio_key IS NULL AND created_at < $2
    ORDER BY created_at
    LIMIT $3
) AS due
ORDER BY account_id, vmbox_id;

-- name: drop_abandoned
-- Removes the messages of a box and a month that have waited for their audio since before $4. Nobody
-- was told of them. A box has 100 of them at most.
-- Plan: the counts row by primary key, pending_messages_by_age or messages_by_vmbox of one partition.
WITH box AS MATERIALIZED (
    SELECT pending_count, deleted_at
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2
    FOR NO KEY UPDATE
), message AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now()
    FROM box
    WHERE m.account_id = $1 AND m.vmbox_id = $2 AND m.month = $3
        AND m.removed_at IS NULL AND m.audio_key IS NULL AND m.created_at < $4
    RETURNING m.id
), counts AS (
    UPDATE vmbox_counts AS c
    SET pending_count = box.pending_count - t.pending
    FROM box, (SELECT count(*) AS pending FROM message) AS t
    WHERE c.account_id = $1 AND c.vmbox_id = $2 AND box.deleted_at IS NULL AND t.pending > 0
)
SELECT count(*) FROM message;

-- name: list_boxes_to_empty
-- Deleted boxes whose messages were not all removed yet.
-- Plan: boxes_to_empty, which holds no other boxes.
SELECT account_id, vmbox_id
FROM vmbox_counts
WHERE deleted_at IS NOT NULL AND emptied_at IS NULL
ORDER BY account_id, vmbox_id
LIMIT $1;

-- name: empty_box
-- Removes up to $3 messages of a deleted box, without events: its deletion has told of them. A batch
-- that is not full was the last: nothing comes into a deleted box.
-- Plan: the counts row by primary key, messages_by_vmbox, rows by primary key of their partition.
WITH box AS MATERIALIZED (
    SELECT deleted_at
    FROM vmbox_counts
    WHERE account_id = $1 AND vmbox_id = $2 AND deleted_at IS NOT NULL
    FOR NO KEY UPDATE
), due AS MATERIALIZED (
    SELECT m.month, m.id
    FROM box, messages AS m
    WHERE m.account_id = $1 AND m.vmbox_id = $2 AND m.removed_at IS NULL
    LIMIT $3
), message AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now(), counted = false
    FROM due
    WHERE m.account_id = $1 AND m.month = due.month AND m.id = due.id
        AND num_nulls(m.removed_at) = 1
    RETURNING m.id
), emptied AS (
    UPDATE vmbox_counts AS c
    SET emptied_at = coalesce(c.emptied_at, now())
    FROM box
    WHERE c.account_id = $1 AND c.vmbox_id = $2 AND (SELECT count(*) FROM due) < $3
)
SELECT count(*) FROM message;

-- name: purge_messages
-- Deletes up to $3 messages of a month that were removed before $2; their audio keys. Rows that
-- another keeper is deleting are left to it.
-- Plan: messages_to_purge of one partition, from its start; rows by primary key.
WITH due AS MATERIALIZED (
    SELECT account_id, id
    FROM messages
    WHERE month = $1 AND removed_at < $2
    ORDER BY removed_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
DELETE FROM messages AS m
USING due
WHERE m.account_id = due.account_id AND m.month = $1 AND m.id = due.id
RETURNING m.audio_key;

-- name: purge_boxes
-- Deletes up to $2 boxes that were emptied before $1, once every message removed before that is gone.
-- Plan: boxes_to_purge from its start; the first entry of messages_to_purge of each partition.
WITH due AS MATERIALIZED (
    SELECT account_id, vmbox_id
    FROM vmbox_counts
    WHERE emptied_at < $1 AND NOT EXISTS (SELECT FROM messages WHERE removed_at < $1)
    ORDER BY emptied_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), vmbox AS (
    DELETE FROM vmboxes AS v
    USING due
    WHERE v.account_id = due.account_id AND v.vmbox_id = due.vmbox_id
)
DELETE FROM vmbox_counts AS c
USING due
WHERE c.account_id = due.account_id AND c.vmbox_id = due.vmbox_id
RETURNING c.vmbox_id;

-- name: find_orphans
-- Of the objects named by account, message and key, the keys that no row of the month points at.
-- Plan: each message by primary key, one partition.
SELECT o.key
FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS o (account_id, id, key)
WHERE o.key IS DISTINCT FROM (
    SELECT m.audio_key
    FROM messages AS m
    WHERE m.account_id = o.account_id AND m.month = $1 AND m.id = o.id
);

-- name: find_media_orphans
-- Of the objects named by account, greeting and key, the keys that no greeting points at.
-- Plan: each greeting by primary key.
SELECT o.key
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS o (account_id, id, key)
WHERE o.key IS DISTINCT FROM (
    SELECT g.audio_key FROM media AS g WHERE g.account_id = o.account_id AND g.media_id = o.id
);

-- name: count_boxes
-- How many boxes a recount goes through.
SELECT count(*) FROM vmbox_counts WHERE deleted_at IS NULL;

-- name: recount_boxes
-- The next boxes after a key, $3 at most or until they hold $4 messages: whether counting a box's
-- messages gives what its counts say. One snapshot sees both, and they change together: a difference
-- is drift, and no lock is needed to tell.
-- Plan: boxes by primary key from $1, $2 on; the messages of each by messages_by_vmbox.
WITH page AS MATERIALIZED (
    SELECT account_id, vmbox_id, new_count, saved_count, pending_count,
        sum(new_count + saved_count + pending_count) OVER so_far
            - (new_count + saved_count + pending_count) AS held_before
    FROM (
        SELECT *
        FROM vmbox_counts
        WHERE (account_id, vmbox_id) > ($1, $2) AND deleted_at IS NULL
        ORDER BY account_id, vmbox_id
        LIMIT $3
    ) AS box
    WINDOW so_far AS (ORDER BY account_id, vmbox_id ROWS UNBOUNDED PRECEDING)
)
SELECT c.account_id, c.vmbox_id,
    (c.new_count, c.saved_count, c.pending_count)
        <> (r.new_count, r.saved_count, r.pending_count) AS drifted
FROM page AS c
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE m.counted AND m.folder = 'new')::integer AS new_count,
        count(*) FILTER (WHERE m.counted AND m.folder = 'saved')::integer AS saved_count,
        count(*) FILTER (WHERE m.audio_key IS NULL)::integer AS pending_count
    FROM messages AS m
    WHERE m.account_id = c.account_id AND m.vmbox_id = c.vmbox_id AND m.removed_at IS NULL
) AS r
WHERE c.held_before < $4
ORDER BY c.account_id, c.vmbox_id;

-- name: lock_box
-- Locks a living box, so that the next statement of the transaction sees its counts and messages as
-- they are until it ends.
SELECT true
FROM vmbox_counts
WHERE account_id = $1 AND vmbox_id = $2 AND deleted_at IS NULL
FOR NO KEY UPDATE;

-- name: repair_counts
-- Sets a locked box's counts to what counting its messages gives, and tells subscribers when that
-- changes what they were told: with the box's document, as after any change of the box.
-- Plan: the messages of the box by messages_by_vmbox; box and counts row by primary key.
WITH recounted AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE m.counted AND m.folder = 'new')::integer AS new_count,
        count(*) FILTER (WHERE m.counted AND m.folder = 'saved')::integer AS saved_count,
        count(*) FILTER (WHERE m.audio_key IS NULL)::integer AS pending_count
    FROM messages AS m
    WHERE m.account_id = $1 AND m.vmbox_id = $2 AND m.removed_at IS NULL
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = r.new_count, saved_count = r.saved_count, pending_count = r.pending_count,
        sequence = c.sequence
            + ((c.new_count, c.saved_count) <> (r.new_count, r.saved_count))::integer
    FROM recounted AS r
    WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL
        AND (c.new_count, c.saved_count, c.pending_count)
            <> (r.new_count, r.saved_count, r.pending_count)
    RETURNING c.*, old.sequence AS sequence_before, old.new_count AS new_before,
        old.saved_count AS saved_before, old.pending_count AS pending_before
), event AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data)
    SELECT $1, $2, c.sequence, d.epoch, 'vmbox.updated',
        event_of_box($1, $2, c.mailbox, d.epoch, c.sequence, c.new_count, c.saved_count)
        || jsonb_build_object('vmbox', v.document || jsonb_build_object('id', hex($2)))
    FROM counts AS c CROSS JOIN deployment AS d
    JOIN vmboxes AS v ON v.account_id = $1 AND v.vmbox_id = $2
    WHERE c.sequence > c.sequence_before
)
SELECT new_before, saved_before, pending_before, new_count, saved_count, pending_count FROM counts;

-- name: list_outbox_days
-- The days of the outbox before $1, oldest first, also one whose drop was cut short: `state` says how
-- far it came.
SELECT to_date(substr(t.relname, 8), 'YYYYMMDD') AS day,
    CASE
        WHEN i.inhrelid IS NULL THEN 'detached'
        WHEN i.inhdetachpending THEN 'detaching'
        ELSE 'attached'
    END AS state,
    format('ALTER TABLE outbox DETACH PARTITION %I CONCURRENTLY', t.relname) AS detach,
    format('ALTER TABLE outbox DETACH PARTITION %I FINALIZE', t.relname) AS finalize,
    format('DROP TABLE %I', t.relname) AS drop
FROM pg_class AS t
LEFT JOIN pg_inherits AS i ON i.inhrelid = t.oid AND i.inhparent = 'outbox'::regclass
WHERE t.relnamespace = 'public'::regnamespace AND t.relkind = 'r'
    AND t.relname ~ '^outbox_\d{8}$' AND t.relname < 'outbox_' || to_char($1::date, 'YYYYMMDD')
ORDER BY day;

-- name: is_spent
-- Whether a day was wholly sent, the last of it published before $2. (Numbers are given in the order
-- of publication, so the highest of the day was its last.)
-- Plan: the first entry of the day's index of what is unsent, the last one of outbox_by_publication.
SELECT NOT EXISTS (SELECT FROM outbox WHERE day = $1 AND stream_seq IS NULL)
    AND coalesce((
        SELECT published_at
        FROM outbox
        WHERE day = $1 AND published_seq IS NOT NULL
        ORDER BY published_seq DESC
        LIMIT 1
    ) < $2, true);

-- name: delete_expired_tokens
-- Forgets up to $2 revoked tokens that have expired since.
-- Plan: revoked_tokens_by_expiry from its start.
WITH due AS MATERIALIZED (
    SELECT token_id
    FROM revoked_tokens
    WHERE expires_at < $1
    ORDER BY expires_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM revoked_tokens AS t USING due WHERE t.token_id = due.token_id;

-- name: delete_old_claims
-- Forgets up to $2 idempotency keys older than $1; a request that still works under one keeps it.
-- Plan: idempotency_by_age from its start; rows by primary key.
WITH due AS MATERIALIZED (
    SELECT account_id, vmbox_id, key
    FROM idempotency
    WHERE created_at < $1 AND leased_until < now()
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency AS i
USING due
WHERE i.account_id = due.account_id AND i.vmbox_id = due.vmbox_id AND i.key = due.key;
