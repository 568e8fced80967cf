-- name: try_lock_step
-- Locks a step for this session. False when another keeper has the lock.
SELECT pg_try_advisory_lock(hashtextextended('aftertone keeper ' || :step::text, 0));

-- name: get_last_run
-- The time at which a step last completed.
SELECT finished_at FROM keeper_steps WHERE step = :step;

-- name: record_run
-- Records that a step has completed, and its counters.
INSERT INTO keeper_steps (step, finished_at, done) VALUES (:step, :finished_at, :done)
ON CONFLICT (step) DO UPDATE SET finished_at = EXCLUDED.finished_at, done = EXCLUDED.done;

-- name: list_months
-- The months that have a partition, oldest first.
SELECT substr(relname, 10)::integer AS month
FROM pg_inherits JOIN pg_class ON oid = inhrelid
WHERE inhparent = 'messages'::regclass
ORDER BY month;

-- name: list_abandoned
-- The boxes of the oldest :limit pending messages of a month: those that still wait for their audio.
-- Plan: pending_messages_by_age of one partition, from its start.
SELECT DISTINCT account_id, vmbox_id
FROM (
    SELECT account_id, vmbox_id
    FROM messages
    WHERE month = :month AND removed_at IS NULL AND audio_key IS NULL AND created_at < :before
    ORDER BY created_at
    LIMIT :limit
) AS due
ORDER BY account_id, vmbox_id;

-- name: remove_abandoned
-- Removes the messages of a box and a month that have been pending since before :before, without events.
-- A box has at most 100 of them.
-- Plan: the counts row by primary key, pending_messages_by_age or messages_by_vmbox of one partition.
WITH locked AS MATERIALIZED (
    SELECT pending_count, deleted_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), message AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now()
    FROM locked
    WHERE m.account_id = :account_id AND m.vmbox_id = :vmbox_id AND m.month = :month
        AND m.removed_at IS NULL AND m.audio_key IS NULL AND m.created_at < :before
    RETURNING m.vmbox_id, m.month, m.id
), counts AS (
    UPDATE vmbox_counts AS c
    SET pending_count = locked.pending_count - t.pending
    FROM locked, (SELECT count(*) AS pending FROM message) AS t
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND locked.deleted_at IS NULL
        AND t.pending > 0
), event AS (
    SELECT m.vmbox_id, NULL AS mailbox, NULL::bigint AS sequence, NULL::integer AS new_count,
        NULL::integer AS saved_count, m.month, m.id AS message_id, 'message.removed' AS type,
        NULL::jsonb AS data
    FROM message AS m
), {append_event}
SELECT count(*) FROM message;

-- name: list_boxes_to_empty
-- Deleted boxes that may still have messages and cannot be restored: deleted before :before, or, in the accounts
-- :account_ids, before the time of the account.
-- Plan: boxes_to_empty_by_age up to :before, boxes_in_trash of each of the accounts.
SELECT account_id, vmbox_id
FROM vmbox_counts
WHERE deleted_at < :before AND emptied_at IS NULL AND account_id <> ALL(:account_ids::uuid[])
UNION ALL
SELECT c.account_id, c.vmbox_id
FROM unnest(:account_ids::uuid[], :times::timestamptz[]) AS a (account_id, before)
JOIN vmbox_counts AS c
    ON c.account_id = a.account_id AND c.deleted_at < a.before AND c.emptied_at IS NULL
LIMIT :limit;

-- name: empty_box
-- Removes up to :limit messages of a box that was deleted before :before, without events, as of the time of the
-- deletion: their grace has ended with that of the box. A batch that is not full is the last, because a deleted
-- box gets no new messages. From the first batch on the box cannot be restored.
-- Plan: the counts row by primary key, messages_by_vmbox, rows by primary key of their partition.
WITH locked AS MATERIALIZED (
    SELECT deleted_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at < :before
    FOR NO KEY UPDATE
), due AS MATERIALIZED (
    SELECT m.month, m.id
    FROM locked, messages AS m
    WHERE m.account_id = :account_id AND m.vmbox_id = :vmbox_id AND m.removed_at IS NULL
    LIMIT :limit
), message AS (
    UPDATE messages AS m
    SET removed_at = locked.deleted_at, changed_at = now(), counted = false
    FROM locked, due
    WHERE m.account_id = :account_id AND m.month = due.month AND m.id = due.id
        AND num_nulls(m.removed_at) = 1
    RETURNING m.id
), emptied AS (
    UPDATE vmbox_counts AS c
    SET deleted_at = 'epoch',
        emptied_at = CASE
            WHEN (SELECT count(*) FROM due) < :limit THEN coalesce(c.emptied_at, now())
            ELSE c.emptied_at
        END
    FROM locked
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
)
SELECT count(*) FROM message;

-- name: list_trash_days
-- The accounts that have their own `trash_days`.
-- Plan: accounts_with_trash_days.
SELECT account_id, (document ->> 'trash_days')::integer AS trash_days
FROM accounts
WHERE document ? 'trash_days';

-- name: purge_messages
-- Deletes up to :limit messages of a month that were removed from :since to before :before, with their outlines,
-- and returns their audio keys. Skips rows that another keeper is deleting, held messages, and the accounts :skipped_ids.
-- Plan: messages_to_purge of one partition, from :since on; rows by primary key.
WITH due AS MATERIALIZED (
    SELECT m.account_id, m.id
    FROM messages AS m
    WHERE m.month = :month AND m.removed_at >= :since AND m.removed_at < :before
        AND m.account_id <> ALL(:skipped_ids::uuid[]) AND NOT {is_held}
    ORDER BY m.removed_at
    LIMIT :limit
    FOR UPDATE OF m SKIP LOCKED
), {purge_due};

-- name: purge_messages_of_accounts
-- As purge_messages, for accounts, each with the time before which its messages were removed.
-- Plan: messages_in_trash of one partition for each account; rows by primary key.
WITH due AS MATERIALIZED (
    SELECT m.account_id, m.id
    FROM unnest(:account_ids::uuid[], :times::timestamptz[]) AS a (account_id, before)
    JOIN messages AS m
        ON m.account_id = a.account_id AND m.month = :month AND m.removed_at < a.before
    WHERE NOT {is_held}
    LIMIT :limit
    FOR UPDATE OF m SKIP LOCKED
), {purge_due};

-- name: purge_boxes
-- Deletes up to :limit emptied boxes whose messages are all purged.
-- Plan: boxes_to_purge; the first entry of messages_in_trash of each partition for each box.
WITH due AS MATERIALIZED (
    SELECT b.account_id, b.vmbox_id
    FROM vmbox_counts AS b
    WHERE b.emptied_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM messages AS m
        WHERE m.account_id = b.account_id AND m.vmbox_id = b.vmbox_id AND m.removed_at IS NOT NULL
        OFFSET 0
    )
    ORDER BY b.emptied_at
    LIMIT :limit
    FOR UPDATE OF b SKIP LOCKED
), vmbox AS (
    DELETE FROM vmboxes AS v
    USING due
    WHERE v.account_id = due.account_id AND v.vmbox_id = due.vmbox_id
)
DELETE FROM vmbox_counts AS c
USING due
WHERE c.account_id = due.account_id AND c.vmbox_id = due.vmbox_id
RETURNING c.vmbox_id;

-- name: list_deleted_accounts
-- The next accounts that were deleted before :before, in the order of their deletion.
-- Plan: accounts_by_deletion in order, stops when the page is full.
SELECT deleted_at, account_id
FROM accounts
WHERE (deleted_at, account_id) > (:after_deleted_at::timestamptz, :after_account_id::uuid)
    AND deleted_at < :before
ORDER BY deleted_at, account_id
LIMIT :limit;

-- name: purge_mail
-- Deletes the mail rates and up to :limit recipients of accounts.
-- Plan: the rows of each account by primary key.
WITH rates AS (
    DELETE FROM mail_rates AS m WHERE m.account_id = ANY(:account_ids::uuid[])
), due AS MATERIALIZED (
    SELECT r.account_id, r.address
    FROM mail_recipients AS r
    WHERE r.account_id = ANY(:account_ids)
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
DELETE FROM mail_recipients AS r
USING due
WHERE r.account_id = due.account_id AND r.address = due.address
RETURNING r.address;

-- name: find_orphans
-- The keys of objects, given by account, message and key, that no message of the month refers to. An object with
-- an original is a rendition: it must have a row, and a message must refer to its original. None while the
-- partition of the month is detached, because its messages cannot be read.
-- Plan: each message and each rendition by primary key, one partition.
SELECT o.key
FROM unnest(:account_ids::uuid[], :owner_ids::uuid[], :keys::text[], :originals::text[])
    AS o (account_id, id, key, original)
WHERE (
    coalesce(o.original, o.key) IS DISTINCT FROM (
        SELECT m.audio_key
        FROM messages AS m
        WHERE m.account_id = o.account_id AND m.month = :month AND m.id = o.id
    ) OR {is_unknown_rendition}
) AND NOT EXISTS (
    SELECT
    FROM pg_class AS t
    LEFT JOIN pg_inherits AS i ON i.inhrelid = t.oid
    WHERE t.relname = 'messages_' || :month::integer AND t.relnamespace = 'public'::regnamespace
        AND (i.inhrelid IS NULL OR i.inhdetachpending)
);

-- name: find_media_orphans
-- The keys of objects, given by account, greeting and key, that no greeting refers to. For an object with an
-- original, see find_orphans.
-- Plan: each greeting and each rendition by primary key.
SELECT o.key
FROM unnest(:account_ids::uuid[], :owner_ids::uuid[], :keys::text[], :originals::text[])
    AS o (account_id, id, key, original)
WHERE coalesce(o.original, o.key) IS DISTINCT FROM (
    SELECT g.audio_key FROM media AS g WHERE g.account_id = o.account_id AND g.media_id = o.id
) OR {is_unknown_rendition};

-- name: count_boxes
-- The number of boxes that are not deleted.
SELECT count(*) FROM vmbox_counts WHERE deleted_at IS NULL;

-- name: recount_boxes
-- The next boxes after a key, up to :max_boxes or until they have :max_messages messages. Two flags of a box
-- are true if its counts, or its stored bytes, differ from its messages. One snapshot reads all of them, so no
-- lock is needed.
-- Plan: boxes by primary key from the key on; the messages of each by messages_by_vmbox.
WITH page AS MATERIALIZED (
    SELECT account_id, vmbox_id, new_count, saved_count, pending_count, stored_bytes,
        sum(new_count + saved_count + pending_count) OVER up_to_here
            - (new_count + saved_count + pending_count) AS messages_before
    FROM (
        SELECT *
        FROM vmbox_counts
        WHERE (account_id, vmbox_id) > (:after_account_id, :after_vmbox_id) AND deleted_at IS NULL
        ORDER BY account_id, vmbox_id
        LIMIT :max_boxes
    ) AS box
    WINDOW up_to_here AS (ORDER BY account_id, vmbox_id ROWS UNBOUNDED PRECEDING)
)
SELECT c.account_id, c.vmbox_id,
    (c.new_count, c.saved_count, c.pending_count)
        <> (r.new_count, r.saved_count, r.pending_count) AS drifted,
    c.stored_bytes <> r.stored_bytes AS bytes_drifted
FROM page AS c
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE m.counted AND m.folder = 'new')::integer AS new_count,
        count(*) FILTER (WHERE m.counted AND m.folder = 'saved')::integer AS saved_count,
        count(*) FILTER (WHERE m.audio_key IS NULL)::integer AS pending_count,
        coalesce(sum(m.audio_size), 0)::bigint AS stored_bytes
    FROM messages AS m
    WHERE m.account_id = c.account_id AND m.vmbox_id = c.vmbox_id AND m.removed_at IS NULL
) AS r
WHERE c.messages_before < :max_messages
ORDER BY c.account_id, c.vmbox_id;

-- name: lock_box
-- Locks a box that is not deleted until the transaction ends, so that the next statement sees its final
-- counts and messages.
SELECT true
FROM vmbox_counts
WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at IS NULL
FOR NO KEY UPDATE;

-- name: repair_counts
-- Sets the counts of a locked box to the number of its messages. When the new or saved count changes, it
-- appends the event vmbox.updated with the document of the box.
-- Plan: the messages of the box by messages_by_vmbox; box and counts row by primary key.
WITH recounted AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE m.counted AND m.folder = 'new')::integer AS new_count,
        count(*) FILTER (WHERE m.counted AND m.folder = 'saved')::integer AS saved_count,
        count(*) FILTER (WHERE m.audio_key IS NULL)::integer AS pending_count
    FROM messages AS m
    WHERE m.account_id = :account_id AND m.vmbox_id = :vmbox_id AND m.removed_at IS NULL
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = r.new_count, saved_count = r.saved_count, pending_count = r.pending_count,
        sequence = c.sequence
            + ((c.new_count, c.saved_count) <> (r.new_count, r.saved_count))::integer
    FROM recounted AS r
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL
        AND (c.new_count, c.saved_count, c.pending_count)
            <> (r.new_count, r.saved_count, r.pending_count)
    RETURNING c.*, old.sequence AS sequence_before, old.new_count AS new_before,
        old.saved_count AS saved_before, old.pending_count AS pending_before
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, NULL::integer AS month,
        NULL::uuid AS message_id, 'vmbox.updated' AS type,
        jsonb_build_object('vmbox', {event_vmbox}) AS data
    FROM counts AS c
    JOIN vmboxes AS v ON v.account_id = :account_id AND v.vmbox_id = :vmbox_id
    WHERE c.sequence > c.sequence_before
), {append_event}
SELECT new_before, saved_before, pending_before, new_count, saved_count, pending_count FROM counts;

-- name: set_box_bytes
-- Sets the stored bytes of a locked box to those of its messages.
-- Plan: the messages of the box by messages_by_vmbox; the counts row by primary key.
UPDATE vmbox_counts
SET stored_bytes = (
    SELECT coalesce(sum(m.audio_size), 0)
    FROM messages AS m
    WHERE m.account_id = :account_id AND m.vmbox_id = :vmbox_id AND m.removed_at IS NULL
)
WHERE account_id = :account_id AND vmbox_id = :vmbox_id;

-- name: list_account_ids
-- The ids of the next accounts after a key, up to :limit.
-- Plan: accounts by primary key from the key on.
SELECT account_id
FROM accounts
WHERE account_id > :after_account_id AND deleted_at IS NULL
ORDER BY account_id
LIMIT :limit;

-- name: lock_account_bytes
-- Allows one transaction at a time to run correct_account_bytes for an account.
SELECT pg_advisory_xact_lock(hashtextextended('stored bytes ' || :account_id::uuid::text, 0));

-- name: correct_account_bytes
-- Corrects the stored bytes of an account by adding the difference. One snapshot reads the bytes, the boxes and
-- the greetings, so their rows need no lock.
-- Plan: its boxes, greetings and totals by primary key.
WITH correction AS (
    SELECT (
        SELECT coalesce(sum(c.stored_bytes), 0) FROM vmbox_counts AS c WHERE c.account_id = :account_id
    ) + (
        SELECT coalesce(sum(g.audio_size), 0) FROM media AS g WHERE g.account_id = :account_id
    ) - {stored_bytes} AS bytes
)
INSERT INTO account_bytes AS b (account_id, part, bytes)
SELECT :account_id, 0, bytes FROM correction WHERE bytes <> 0
ON CONFLICT (account_id, part) DO UPDATE SET bytes = b.bytes + EXCLUDED.bytes;

-- name: delete_expired_tokens
-- Deletes up to :limit revoked tokens that expired before :before, and as many API keys revoked before it.
-- Plan: revoked_tokens_by_expiry and api_keys_by_revocation from their start.
WITH due AS MATERIALIZED (
    SELECT token_id
    FROM revoked_tokens
    WHERE expires_at < :before
    ORDER BY expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), due_keys AS MATERIALIZED (
    SELECT account_id, key_id
    FROM api_keys
    WHERE revoked_at < :before
    ORDER BY revoked_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), keys AS (
    DELETE FROM api_keys AS k USING due_keys AS d
    WHERE k.account_id = d.account_id AND k.key_id = d.key_id
)
DELETE FROM revoked_tokens AS t USING due WHERE t.token_id = due.token_id;

-- name: delete_old_claims
-- Deletes up to :limit idempotency keys older than :before, except those of running requests.
-- Plan: idempotency_by_age from its start; rows by primary key.
WITH due AS MATERIALIZED (
    SELECT account_id, vmbox_id, key
    FROM idempotency
    WHERE created_at < :before AND leased_until < now()
    ORDER BY created_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency AS i
USING due
WHERE i.account_id = due.account_id AND i.vmbox_id = due.vmbox_id AND i.key = due.key;
