-- Expiry of messages by the retention of their box. A general scan covers the boxes with the rule of the
-- deployment. Accounts and boxes with other rules are excluded from it and have their own. Each kind of scan exists
-- for all messages, and for those in the folder deleted. :since is the end of the previous run.

-- name: list_expired
-- The boxes of the oldest :limit expired messages of a month, without the excluded accounts and boxes.
-- Plan: messages_by_age of one partition, from :since on.
SELECT account_id, vmbox_id, max(received_at) AS last_at
FROM (
    SELECT account_id, vmbox_id, received_at
    FROM messages
    WHERE month = :month AND removed_at IS NULL
        AND received_at >= :since::timestamptz AND received_at < :before
        AND account_id <> ALL(:account_ids::uuid[]) AND vmbox_id <> ALL(:vmbox_ids::uuid[])
    ORDER BY received_at
    LIMIT :limit
) AS due
GROUP BY account_id, vmbox_id
ORDER BY account_id, vmbox_id;

-- name: list_expired_deleted
-- As list_expired, for messages in the folder deleted.
-- Plan: deleted_messages_by_age of one partition, from :since on.
SELECT account_id, vmbox_id, max(changed_at) AS last_at
FROM (
    SELECT account_id, vmbox_id, changed_at
    FROM messages
    WHERE month = :month AND removed_at IS NULL AND folder = 'deleted'
        AND changed_at >= :since::timestamptz AND changed_at < :before
        AND account_id <> ALL(:account_ids::uuid[]) AND vmbox_id <> ALL(:vmbox_ids::uuid[])
    ORDER BY changed_at
    LIMIT :limit
) AS due
GROUP BY account_id, vmbox_id
ORDER BY account_id, vmbox_id;

-- name: list_expired_of_accounts
-- The boxes of the oldest :limit expired messages of a month of each account, each with its own bounds, without
-- the excluded boxes.
-- Plan: messages_by_account of one partition for each account, from its bound on.
SELECT due.account_id, due.vmbox_id, max(due.received_at) AS last_at
FROM unnest(:account_ids::uuid[], :sinces::timestamptz[], :befores::timestamptz[])
    AS a (account_id, since, before)
CROSS JOIN LATERAL (
    SELECT m.account_id, m.vmbox_id, m.received_at
    FROM messages AS m
    WHERE m.account_id = a.account_id AND m.month = :month AND m.removed_at IS NULL
        AND m.received_at >= a.since AND m.received_at < a.before AND m.vmbox_id <> ALL(:vmbox_ids::uuid[])
    ORDER BY m.received_at
    LIMIT :limit
) AS due
GROUP BY due.account_id, due.vmbox_id
ORDER BY due.account_id, due.vmbox_id;

-- name: list_expired_deleted_of_accounts
-- As list_expired_of_accounts, for messages in the folder deleted.
-- Plan: deleted_messages_by_vmbox of one partition for each account: its messages in the folder deleted.
SELECT due.account_id, due.vmbox_id, max(due.changed_at) AS last_at
FROM unnest(:account_ids::uuid[], :sinces::timestamptz[], :befores::timestamptz[])
    AS a (account_id, since, before)
CROSS JOIN LATERAL (
    SELECT m.account_id, m.vmbox_id, m.changed_at
    FROM messages AS m
    WHERE m.account_id = a.account_id AND m.month = :month AND m.removed_at IS NULL
        AND m.folder = 'deleted' AND m.changed_at >= a.since AND m.changed_at < a.before
        AND m.vmbox_id <> ALL(:vmbox_ids::uuid[])
    ORDER BY m.changed_at
    LIMIT :limit
) AS due
GROUP BY due.account_id, due.vmbox_id
ORDER BY due.account_id, due.vmbox_id;

-- name: filter_expired_boxes
-- Those of the given boxes that have an expired message in a month, each with its own bound.
-- Plan: the first entry of messages_by_vmbox of one partition for each box.
SELECT b.account_id, b.vmbox_id
FROM unnest(:account_ids::uuid[], :vmbox_ids::uuid[], :befores::timestamptz[])
    AS b (account_id, vmbox_id, before)
WHERE b.before > (
    SELECT m.received_at
    FROM messages AS m
    WHERE m.account_id = b.account_id AND m.vmbox_id = b.vmbox_id AND m.month = :month
        AND m.removed_at IS NULL
    -- With the id, only messages_by_vmbox has this order.
    ORDER BY m.received_at, m.id
    LIMIT 1
);

-- name: filter_expired_deleted_boxes
-- As filter_expired_boxes, for messages in the folder deleted.
-- Plan: the first entry of deleted_messages_by_vmbox of one partition for each box.
SELECT b.account_id, b.vmbox_id
FROM unnest(:account_ids::uuid[], :vmbox_ids::uuid[], :befores::timestamptz[])
    AS b (account_id, vmbox_id, before)
WHERE b.before > (
    SELECT m.changed_at
    FROM messages AS m
    WHERE m.account_id = b.account_id AND m.vmbox_id = b.vmbox_id AND m.month = :month
        AND m.removed_at IS NULL AND m.folder = 'deleted'
    ORDER BY m.changed_at
    LIMIT 1
);

-- name: expire_messages
-- Removes expired messages of a box and a month, up to :limit by each of the two rules: locks the box's counts row,
-- writes the messages, counts, appends one event per complete message, with the counts after it. A deleted box
-- gets no events: its deletion has announced the end of its messages.
-- Plan: the counts row by primary key, messages_by_vmbox and deleted_messages_by_vmbox of one partition, rows by
-- primary key.
WITH locked AS MATERIALIZED (
    SELECT vmbox_id, mailbox, new_count, saved_count, pending_count, stored_bytes, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), due AS MATERIALIZED (
    (
        SELECT m.id
        FROM locked, messages AS m
        WHERE m.account_id = :account_id AND m.vmbox_id = :vmbox_id AND m.month = :month
            AND m.removed_at IS NULL AND m.received_at < :before
        ORDER BY m.received_at, m.id
        LIMIT :limit
    )
    UNION
    (
        SELECT m.id
        FROM locked, messages AS m
        WHERE m.account_id = :account_id AND m.vmbox_id = :vmbox_id AND m.month = :month
            AND m.removed_at IS NULL AND m.folder = 'deleted' AND m.changed_at < :deleted_before
        ORDER BY m.changed_at
        LIMIT :limit
    )
), message AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now(), counted = false
    FROM due
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = due.id
        -- Not IS NULL, so that rows are found by primary key: see messages.sql.
        AND num_nulls(m.removed_at) = 1
    RETURNING old.counted AS counted_before, m.*
), step AS (
    SELECT m.*,
        {removal_steps}
    FROM message AS m CROSS JOIN locked
    WHERE locked.deleted_at IS NULL
    WINDOW up_to_here AS (ORDER BY m.received_at, m.id ROWS UNBOUNDED PRECEDING)
), {count_removals}, {count_bytes}, {append_event}
SELECT count(*) FROM message;
